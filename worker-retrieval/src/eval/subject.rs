//! Documents in an index of their own.

use super::{Mode, Text};
use crate::{
    Config,
    embed::{EmbedError, Embedder},
    faq_engine::FaqEngine,
    index::{Found, IndexError, NewDocument, NewPassage, Query, SearchIndex},
    rank::{Ranked, Ranker},
};
use catalog::FaqEntry;
use protocol::{DocumentId, FaqMatch, KnowledgeVersion, Passage, TenantId};
use std::{collections::HashMap, sync::Arc};

/// Passages of each ranking that take part in the fusion.
const CANDIDATES: usize = 50;
/// Passages that go to the index in one call.
const BATCH: usize = 200;
const VERSION: KnowledgeVersion = KnowledgeVersion(1);

/// What is measured.
pub struct Subject {
    tenant: TenantId,
    embedder: Arc<dyn Embedder>,
    index: Box<dyn SearchIndex>,
    ranker: Ranker,
    faq: FaqEngine,
    names: HashMap<DocumentId, String>,
}

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A document cannot be read.
    #[error("{name}: {reason}")]
    Text {
        /// Which one.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text cannot be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Subject {
    /// Embeds `texts` and puts them into `index`, as the first version of `tenant`.
    pub fn new(
        config: &Config,
        tenant: TenantId,
        embedder: Arc<dyn Embedder>,
        index: Box<dyn SearchIndex>,
        texts: Vec<Text>,
    ) -> Result<Self, EvalError> {
        let (mut names, mut entries, mut waiting) = (HashMap::new(), Vec::new(), Vec::new());
        index.clear(&tenant)?;
        for (at, text) in texts.into_iter().enumerate() {
            let id = DocumentId::parse(format!("d{at}"))
                .map_err(|error| EvalError::Text { name: text.name.clone(), reason: error.to_string() })?;
            names.insert(id.clone(), text.name.clone());
            let document = embed(&*embedder, config.batch, id, text)?;
            entries.extend(curated(&document));
            waiting.push(document);
            if waiting.iter().map(|document: &NewDocument| document.passages.len()).sum::<usize>() >= BATCH {
                index.add(&tenant, VERSION, std::mem::take(&mut waiting))?;
            }
        }
        index.add(&tenant, VERSION, waiting)?;
        index.seal(&tenant, VERSION)?;
        let ranker = Ranker::new(embedder.id());
        let faq = FaqEngine::new(entries, embedder.id());
        Ok(Self { tenant, embedder, index, ranker, faq, names })
    }

    /// The modes that can be measured here.
    pub fn modes(&self) -> &'static [Mode] {
        &[Mode::Words, Mode::Meaning, Mode::Hybrid, Mode::Given]
    }

    /// What the index finds.
    pub fn find(&self, question: &str) -> Result<Found, EvalError> {
        let vector = self.vector(question)?;
        let query = Query { text: question, vector: &vector, candidates: CANDIDATES };
        Ok(self.index.search(&self.tenant, VERSION, query)?)
    }

    /// Ranks what was found.
    pub(super) fn rank(&self, found: Found, question: &str, mode: Mode, top: usize) -> Result<Vec<Passage>, EvalError> {
        let mut passages = match mode {
            Mode::Words => found.by_text,
            Mode::Meaning => found.by_vector,
            Mode::Hybrid => self.ranker.fuse(found),
            Mode::Given => self.ranker.rank(found, question, top).passages,
        };
        passages.truncate(top);
        Ok(passages)
    }

    /// What a customer's question gets.
    pub fn answer(&self, question: &str, top: usize) -> Result<(Ranked, Option<FaqMatch>), EvalError> {
        let found = self.find(question)?;
        let faq = self.faq.best(question, &self.vector(question)?);
        Ok((self.ranker.rank(found, question, top), faq))
    }

    /// The engine of its curated answers.
    pub fn faq(&self) -> &FaqEngine {
        &self.faq
    }

    /// The ranker of its passages.
    pub fn ranker(&self) -> &Ranker {
        &self.ranker
    }

    /// The vector of a question.
    pub fn vector(&self, question: &str) -> Result<Vec<f32>, EvalError> {
        Ok(self.embedder.embed_queries(&[question])?.pop().unwrap_or_default())
    }

    /// The file name of a document.
    pub fn name(&self, document: &DocumentId) -> &str {
        self.names.get(document).map_or("", String::as_str)
    }
}

fn embed(embedder: &dyn Embedder, batch: usize, id: DocumentId, text: Text) -> Result<NewDocument, EvalError> {
    let mut passages = Vec::with_capacity(text.passages.len());
    for part in text.passages.chunks(batch.max(1)) {
        let both: Vec<String> = part.iter().map(|(title, text)| format!("{title}\n{text}")).collect();
        let vectors = embedder.embed_passages(&both.iter().map(String::as_str).collect::<Vec<_>>())?;
        let titles: Vec<&str> = part.iter().filter(|_| text.curated).map(|(title, _)| title.as_str()).collect();
        let mut questions = embedder.embed_passages(&titles)?.into_iter();
        passages.extend(part.iter().zip(vectors).map(|((title, text), vector)| NewPassage {
            title: title.clone(),
            text: text.clone(),
            vector,
            question: questions.next().into_iter().collect(),
        }));
    }
    Ok(NewDocument { id, passages })
}

fn curated(document: &NewDocument) -> Vec<FaqEntry> {
    let curated = document.passages.iter().filter(|passage| !passage.question.is_empty());
    let entry = |(position, passage): (u32, &NewPassage)| FaqEntry {
        document: document.id.clone(),
        position,
        question: passage.title.clone(),
        variants: Vec::new(),
        answer: passage.text.clone(),
        vectors: passage.question.clone(),
    };
    (0..).zip(curated).map(entry).collect()
}

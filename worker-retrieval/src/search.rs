//! What a tenant's knowledge holds about a question.

use crate::{
    Retrieval,
    index::{Found, IndexError, Query},
    knowledge::{Asked, State, blocking},
    rank::{Ranked, Ranker},
    space::Space,
};
use catalog::Question;
use metrics::{counter, histogram};
use protocol::{
    ErrorCode, Failure, FaqMatch, KnowledgeVersion, Passage, QuantizedVector, RetrievalJob, Retrieved, TenantId,
};
use runtime::metric;
use std::sync::Arc;

/// Passages of each ranking that take part in the fusion, at least.
const CANDIDATES: usize = 50;
/// Passages of one answer at most.
const MAX_TOP_K: usize = 100;
/// Characters of a question that are looked at.
const MAX_QUERY_CHARS: usize = 2_000;

/// A question as it is looked up.
struct Look {
    tenant: TenantId,
    text: String,
    context: Option<String>,
    top: usize,
    /// Below this confidence the context is looked up, too.
    doubt: f32,
}

/// All that a question finds, before it is ranked.
pub struct Looked {
    /// In the index.
    pub found: Found,
    /// The best curated answer.
    pub faq: Option<FaqMatch>,
    /// The question's vector.
    pub vector: Vec<f32>,
}

/// What a look brought.
struct Seen {
    ranked: Ranked,
    faq: Option<FaqMatch>,
    vector: Vec<f32>,
    /// Whether the index took part.
    is_judged: bool,
    /// The index holds another version than what is served.
    is_behind: bool,
}

impl Retrieval {
    /// What the tenant knows about the job's question. Without the index, the best curated answer at least.
    pub async fn search(&self, tenant: &TenantId, job: &RetrievalJob) -> Result<Retrieved, Failure> {
        let look = Look {
            tenant: tenant.clone(),
            text: question(&job.query)?,
            context: job.context.as_deref().and_then(|context| question(context).ok()),
            top: usize::from(job.top_k).clamp(1, MAX_TOP_K),
            doubt: self.config().unanswered_below,
        };
        let text = look.text.clone();
        let state = self.knowledge.served.of(tenant).await?;
        let space = self.space(&state).await?;
        let (version, behind) = (state.version, space.clone());
        let seen = self.look(look, state, space.clone()).await?;
        if let Some(space) = behind.filter(|_| seen.is_behind) {
            self.knowledge.sync_aside(&space, tenant, version);
        }
        let vector = (!seen.vector.is_empty()).then(|| QuantizedVector::of(&seen.vector));
        let confidence = seen.is_judged.then_some(seen.ranked.confidence);
        let is_known = seen.faq.as_ref().is_some_and(|faq| faq.confidence >= self.config().unanswered_below);
        if let (Some(confidence), Some(vector), Some(space)) = (confidence, &vector, space)
            && confidence < self.config().unanswered_below
            && !is_known
        {
            let (vector, embedder, at) = (vector.clone(), space.embedder.id().to_string(), self.clock.now());
            let question = Question { text, lang: job.lang.clone(), at, confidence, vector, embedder };
            self.knowledge.unanswered_question(Asked { tenant: tenant.clone(), question });
        }
        let vector = vector.filter(|_| job.wants_vector);
        Ok(Retrieved { passages: seen.ranked.passages, faq: seen.faq, version, confidence, vector })
    }

    /// What the tenant's served version holds about a question, for whoever ranks it otherwise.
    pub async fn look_up(&self, tenant: &TenantId, text: &str) -> Result<Looked, Failure> {
        let (tenant, text) = (tenant.clone(), question(text)?);
        let state = self.knowledge.served.of(&tenant).await?;
        let space = self.knowledge.spaces.current().clone();
        blocking(move || {
            let vector = embedded(&space, &text)?;
            let query = Query { text: &text, vector: &vector, candidates: MAX_TOP_K };
            let found = space.index.search(&tenant, state.version, query);
            let found = found.map_err(|error| crate::knowledge::indexed(&tenant, error))?;
            Ok(Looked { found, faq: state.faq.best(&text, &vector), vector })
        })
        .await
    }

    /// How passages are ranked.
    pub fn ranker(&self) -> &Ranker {
        &self.knowledge.spaces.current().ranker
    }

    /// Where the served version's vectors are; `None`: its embedder is gone.
    async fn space(&self, state: &State) -> Result<Option<Arc<Space>>, Failure> {
        let current = self.knowledge.spaces.current();
        if state.version.0 == 0 || state.embedder == current.embedder.id() {
            return Ok(Some(current.clone()));
        }
        let (knowledge, embedder) = (self.knowledge.clone(), state.embedder.clone());
        blocking(move || Ok(knowledge.spaces.of(&embedder))).await
    }

    async fn look(&self, look: Look, state: State, space: Option<Arc<Space>>) -> Result<Seen, Failure> {
        let clock = self.clock.clone();
        let timed = move |stage: &'static str| {
            let (clock, started) = (clock.clone(), clock.now());
            move || {
                let seconds = clock.now().ms_from(started) as f64 / 1000.0;
                histogram!(metric::RETRIEVAL_DURATION, "stage" => stage).record(seconds);
            }
        };
        blocking(move || {
            let Some(space) = space else {
                missed("embedder");
                return Ok(look.without_vectors(&state));
            };
            let done = timed("embed");
            let vector = embedded(&space, &look.text)?;
            done();
            let done = timed("search");
            let seen = look.with(&space, &state, vector)?;
            done();
            Ok(seen)
        })
        .await
    }
}

impl Look {
    fn with(&self, space: &Space, state: &State, vector: Vec<f32>) -> Result<Seen, Failure> {
        let faq = state.faq.best(&self.text, &vector);
        let (found, is_behind) = self.found(space, state.version, &self.text, &vector);
        let is_judged = found.is_some();
        let mut ranked = space.ranker.rank(found.unwrap_or_default(), &self.text, self.top);
        if let Some(context) = self.context.as_deref().filter(|_| is_judged && ranked.confidence < self.doubt) {
            let text = format!("{context}\n{}", self.text);
            let vector = embedded(space, &text)?;
            let (found, _) = self.found(space, state.version, &text, &vector);
            let together = space.ranker.rank(found.unwrap_or_default(), &text, self.top);
            if together.confidence > ranked.confidence {
                ranked = together;
            }
        }
        if !is_judged {
            ranked.passages = faq.iter().map(as_passage).collect();
        }
        Ok(Seen { ranked, faq, vector, is_judged, is_behind })
    }

    /// The served version's embedder is gone: words alone find curated answers.
    fn without_vectors(&self, state: &State) -> Seen {
        let faq = state.faq.best(&self.text, &[]);
        let ranked = Ranked { passages: faq.iter().map(as_passage).collect(), confidence: 0.0 };
        Seen { ranked, faq, vector: Vec::new(), is_judged: false, is_behind: false }
    }

    /// From the version that the index holds, if it is behind the served one. `None`: the index does not answer.
    fn found(&self, space: &Space, version: KnowledgeVersion, text: &str, vector: &[f32]) -> (Option<Found>, bool) {
        if version.0 == 0 {
            return (Some(Found::default()), false);
        }
        let query = Query { text, vector, candidates: self.top.max(CANDIDATES) };
        match space.index.search(&self.tenant, version, query) {
            Ok(found) => (Some(found), false),
            Err(IndexError::Behind { held, .. }) if held.0 > 0 => {
                missed("behind");
                (space.index.search(&self.tenant, held, query).ok(), true)
            }
            Err(IndexError::Behind { .. }) => {
                missed("behind");
                (None, true)
            }
            Err(error) => {
                missed("unavailable");
                tracing::warn!(tenant = %self.tenant, %error, "the search index does not answer");
                (None, false)
            }
        }
    }
}

fn missed(why: &'static str) {
    counter!(metric::INDEX_MISSED, "why" => why).increment(1);
}

/// What is looked at of a customer's question.
fn question(text: &str) -> Result<String, Failure> {
    let end = text.char_indices().nth(MAX_QUERY_CHARS).map_or(text.len(), |(at, _)| at);
    let text = text[..end].trim();
    if text.is_empty() { Err(Failure::invalid("query", "the question is empty")) } else { Ok(text.to_string()) }
}

fn embedded(space: &Space, text: &str) -> Result<Vec<f32>, Failure> {
    let vectors = space.embedder.embed_queries(&[text]).map_err(crate::ingest::failed)?;
    vectors.into_iter().next().ok_or_else(|| Failure::new(ErrorCode::Internal, "the question could not be embedded"))
}

fn as_passage(faq: &FaqMatch) -> Passage {
    let FaqMatch { document, chunk, question, answer, score, .. } = faq.clone();
    Passage { document, chunk, title: question, text: answer, score }
}

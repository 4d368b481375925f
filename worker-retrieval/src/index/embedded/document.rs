//! A document in memory, and its way to tantivy and back.

use super::schema::Fields;
use crate::analyzer;
use crate::index::{NewDocument, NewPassage};
use protocol::{DocumentId, DocumentInfo, FaqMatch, Passage};
use tantivy::{TantivyDocument, schema::Value};

/// A document whose vectors lie in one piece.
#[derive(Debug)]
pub struct Document {
    /// What is known of it.
    pub info: DocumentInfo,
    passages: Vec<Words>,
    /// Row i is passage i's vector.
    vectors: Vec<f32>,
    /// Row i is the vector of curated question i; empty for a document that is not curated.
    questions: Vec<f32>,
}

#[derive(Debug)]
struct Words {
    title: String,
    text: String,
}

/// A passage as it is read back.
#[derive(Debug)]
pub struct Row {
    /// Its document.
    pub document: DocumentId,
    /// Its position.
    pub chunk: usize,
    /// Itself.
    pub passage: NewPassage,
    /// On passage 0.
    pub info: Option<DocumentInfo>,
}

impl Document {
    /// Packs the vectors of `passages`.
    pub fn new(info: DocumentInfo, passages: Vec<NewPassage>) -> Self {
        let mut document = Self { info, passages: Vec::new(), vectors: Vec::new(), questions: Vec::new() };
        for passage in passages {
            document.vectors.extend(passage.vector);
            document.questions.extend(passage.question.unwrap_or_default());
            document.passages.push(Words { title: passage.title, text: passage.text });
        }
        document
    }

    /// Number of passages.
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    /// How close each passage is to `vector`, in order: the cosine, for a curated answer that of its question when it is
    /// higher.
    pub fn closeness<'a>(&'a self, vector: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let questions = self.question_cosines(vector).chain(std::iter::repeat(f32::NEG_INFINITY));
        rows(&self.vectors, vector).zip(questions).map(|(passage, question)| passage.max(question))
    }

    /// Cosine of each curated question and `vector`, in order; none for a document that is not curated.
    pub fn question_cosines<'a>(&'a self, vector: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        rows(&self.questions, vector)
    }

    /// Passage `chunk` with its score.
    pub fn passage(&self, chunk: usize, score: f32) -> Option<Passage> {
        let Words { title, text } = self.passages.get(chunk)?;
        let number = u32::try_from(chunk).ok()?;
        Some(Passage { document: self.info.id.clone(), chunk: number, title: title.clone(), text: text.clone(), score })
    }

    /// Curated answer `chunk` with its score.
    pub fn faq(&self, chunk: usize, score: f32) -> Option<FaqMatch> {
        let Passage { document, chunk, title, text, score } = self.passage(chunk, score)?;
        Some(FaqMatch { document, chunk, question: title, answer: text, score, confidence: 0.0 })
    }
}

fn rows<'a>(matrix: &'a [f32], vector: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    matrix.chunks_exact(vector.len().max(1)).map(move |row| row.iter().zip(vector).map(|(x, y)| x * y).sum())
}

/// The tantivy documents of `document`, in order.
pub fn write(fields: &Fields, document: &NewDocument) -> Result<Vec<TantivyDocument>, serde_json::Error> {
    let info = serde_json::to_string(&document.info)?;
    let passages = document.passages.iter().enumerate();
    Ok(passages.map(|(chunk, passage)| write_one(fields, document, &info, chunk, passage)).collect())
}

fn write_one(fields: &Fields, all: &NewDocument, info: &str, chunk: usize, passage: &NewPassage) -> TantivyDocument {
    let mut document = TantivyDocument::default();
    document.add_text(fields.document, all.info.id.as_str());
    document.add_u64(fields.chunk, chunk as u64);
    document.add_text(fields.title, &passage.title);
    document.add_text(fields.text, &passage.text);
    for terms in &fields.terms {
        document.add_text(terms.title, analyzer::normalize(&passage.title));
        document.add_text(terms.text, analyzer::normalize(&passage.text));
    }
    document.add_bytes(fields.vector, &to_bytes(&passage.vector));
    if let Some(question) = &passage.question {
        document.add_bytes(fields.question, &to_bytes(question));
    }
    if chunk == 0 {
        document.add_text(fields.info, info);
    }
    document
}

/// Reads a passage back; the error says what is missing or malformed.
pub fn read(fields: &Fields, dimensions: usize, stored: &TantivyDocument) -> Result<Row, String> {
    let text = |field, name: &str| {
        let value = stored.get_first(field).and_then(|value| value.as_str().map(str::to_owned));
        value.ok_or_else(|| format!("a passage has no {name}"))
    };
    let vector = |field| stored.get_first(field).and_then(|value| value.as_bytes().map(from_bytes));
    let whole = |vector: &Vec<f32>| vector.len() == dimensions;
    let info =
        text(fields.info, "info").ok().map(|json| serde_json::from_str(&json).map_err(|error| error.to_string()));
    let passage = NewPassage {
        title: text(fields.title, "title")?,
        text: text(fields.text, "text")?,
        vector: vector(fields.vector).filter(whole).ok_or("a passage has no vector")?,
        question: vector(fields.question).filter(whole),
    };
    let (document, chunk) = key(fields, stored).ok_or("a passage has no document")?;
    Ok(Row { document, chunk, passage, info: info.transpose()? })
}

/// Which passage this is.
pub fn key(fields: &Fields, stored: &TantivyDocument) -> Option<(DocumentId, usize)> {
    let document = DocumentId::parse(stored.get_first(fields.document)?.as_str()?).ok()?;
    let chunk = usize::try_from(stored.get_first(fields.chunk)?.as_u64()?).ok()?;
    Some((document, chunk))
}

fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

//! The words of curated questions and answers, in a tantivy index in memory.

use crate::analyzer::{Script, normalize, query_terms};
use catalog::FaqEntry;
use tantivy::{
    Index, IndexWriter, Searcher, TantivyDocument, Term,
    collector::TopDocs,
    query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery},
    schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions},
};

/// Memory of the writer while the index is made; tantivy takes no less.
const WRITER_BYTES: usize = 15_000_000;
/// Weight of a word in an answer against one in a question.
const ANSWER_WEIGHT: f32 = 0.3;
const ROW: &str = "row";

/// A question's terms of one script, each with its weight.
pub type Weighted = Vec<(String, f32)>;

/// Ranks entries by their words (BM25).
pub struct Words {
    searcher: Searcher,
    /// Of each script: the fields of questions and of answers.
    fields: [(Script, Field, Field); 2],
}

impl Words {
    /// Indexes the entries; row i is entry i.
    pub fn new(entries: &[FaqEntry]) -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let row = schema.add_u64_field(ROW, FAST);
        let fields = Script::ALL.map(|script| {
            let indexing = TextFieldIndexing::default().set_tokenizer(script.tokenizer());
            let options =
                TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::WithFreqs));
            let name = |what: &str| format!("{what}_{}", script.tokenizer());
            let question = schema.add_text_field(&name("question"), options.clone());
            (script, question, schema.add_text_field(&name("answer"), options))
        });
        let index = Index::create_in_ram(schema.build());
        for script in Script::ALL {
            index.tokenizers().register(script.tokenizer(), script.analyzer());
        }
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES)?;
        for (at, entry) in entries.iter().enumerate() {
            let mut document = TantivyDocument::new();
            document.add_u64(row, at as u64);
            for (_, question, answer) in fields {
                for wording in std::iter::once(&entry.question).chain(&entry.variants) {
                    document.add_text(question, normalize(wording));
                }
                document.add_text(answer, normalize(&entry.answer));
            }
            writer.add_document(document)?;
        }
        writer.commit()?;
        let searcher = index.reader()?.searcher();
        Ok(Self { searcher, fields })
    }

    /// The terms of `question` with their inverse document frequencies, as in BM25; what no entry holds weighs most.
    pub fn weighted(&self, question: &str) -> tantivy::Result<Weighted> {
        let count = self.searcher.num_docs() as f32;
        let mut weighted = Vec::new();
        for (script, field, answer) in self.fields {
            for term in query_terms(script, question) {
                let of = |field| self.searcher.doc_freq(&Term::from_field_text(field, &term));
                let holding = of(field)?.max(of(answer)?) as f32;
                let weight = (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln();
                weighted.push((term, weight));
            }
        }
        Ok(weighted)
    }

    /// The `limit` entries that share most with `terms` (BM25), best first.
    pub fn best(&self, terms: &Weighted, limit: usize) -> tantivy::Result<Vec<usize>> {
        let clauses = terms.iter().flat_map(|(term, _)| {
            self.fields.iter().flat_map(move |(_, question, answer)| {
                [clause(*question, term, 1.0), clause(*answer, term, ANSWER_WEIGHT)]
            })
        });
        let any = BooleanQuery::new(clauses.collect());
        let hits = self.searcher.search(&any, &TopDocs::with_limit(limit).order_by_score())?;
        hits.into_iter()
            .map(|(_, at)| {
                let rows = self.searcher.segment_reader(at.segment_ord).fast_fields().u64(ROW)?;
                Ok(rows.first(at.doc_id).and_then(|row| usize::try_from(row).ok()).unwrap_or(usize::MAX))
            })
            .collect()
    }
}

fn clause(field: Field, word: &str, weight: f32) -> (Occur, Box<dyn Query>) {
    let query = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
    (Occur::Should, Box::new(BoostQuery::new(Box::new(query), weight)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::DocumentId;

    #[test]
    fn questions_count_more_than_answers_and_strange_words_weigh_most() {
        let entry = |question: &str, answer: &str| FaqEntry {
            document: DocumentId::parse("faq").unwrap(),
            position: 0,
            question: question.into(),
            variants: Vec::new(),
            answer: answer.into(),
            vectors: Vec::new(),
        };
        let words = Words::new(&[
            entry("How long is the warranty?", "A lamp has one of 24 months, a lock one of 36 months."),
            entry("How do I return a lamp?", "Choose Return in the app."),
            entry("如何重置密码", "在 App 里点“忘记密码”。"),
        ]);
        let words = words.unwrap();
        let asked = words.weighted("return the lamp siren").unwrap();
        assert_eq!(words.best(&asked, 5).unwrap(), [1, 0]);
        let weight = |term: &str| asked.iter().find(|(other, _)| other == term).unwrap().1;
        assert!(weight("siren") > weight("return") && weight("return") > 0.0);
        assert_eq!(words.best(&words.weighted("重置密码").unwrap(), 5).unwrap(), [2]);
    }
}

//! Curated questions and answers, from CSV or JSON lines.

mod lines;

pub use lines::parse_lines;

use crate::read::MAX_WARNINGS;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde::{Deserialize, Serialize};

/// Other wordings of one question are read up to this many.
const MAX_VARIANTS: usize = 100;

/// A curated question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What a customer might ask.
    pub question: String,
    /// What to say.
    pub answer: String,
    /// Other wordings of the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
}

impl Entry {
    /// An entry whose variants are neither empty, nor the question itself, nor given twice.
    fn new(question: String, answer: String, wordings: impl Iterator<Item = String>) -> Self {
        let mut variants: Vec<String> = Vec::new();
        for wording in wordings.map(|wording| wording.trim().to_owned()) {
            let known = wording.is_empty() || wording == question || variants.contains(&wording);
            if !known && variants.len() < MAX_VARIANTS {
                variants.push(wording);
            }
        }
        Self { question, answer, variants }
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faq {
    /// The rows that can be used, in order; at least one.
    pub entries: Vec<Entry>,
    /// The rows that cannot, and why; at most 20.
    pub warnings: Vec<String>,
}

impl Faq {
    /// The entries of `rows`. Fails when there is none, with what is wrong with the first row.
    fn of(rows: impl Iterator<Item = Result<Entry, String>>) -> Result<Self, String> {
        let (mut faq, mut skipped) = (Self::default(), 0);
        for row in rows {
            match row {
                Ok(entry) => faq.entries.push(entry),
                Err(warning) => {
                    skipped += 1;
                    if skipped <= MAX_WARNINGS {
                        faq.warnings.push(warning);
                    }
                }
            }
        }
        if let Some(last) = faq.warnings.last_mut().filter(|_| skipped > MAX_WARNINGS) {
            *last = format!("{} more rows were skipped", skipped - MAX_WARNINGS + 1);
        }
        if faq.entries.is_empty() {
            let first = faq.warnings.first().map(|warning| format!(" ({warning})")).unwrap_or_default();
            return Err(format!("no row has both a question and an answer{first}"));
        }
        Ok(faq)
    }
}

/// Reads CSV (RFC 4180, UTF-8, a byte order mark is ignored) with the columns `question` and `answer`, and if there is one
/// `variants`; others are ignored. Columns are parted by commas, or by what the first line parts them: semicolons or tabs.
/// The error tells a person what is missing.
pub fn parse(content: &str) -> Result<Faq, String> {
    let content = content.trim_start_matches('\u{feff}');
    if content.trim().is_empty() {
        return Err("the file is empty; its first line must be: question,answer".into());
    }
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .trim(Trim::All)
        .delimiter(delimiter(content))
        .from_reader(content.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let columns = Columns {
        question: column(&header, "question")?,
        answer: column(&header, "answer")?,
        variants: column(&header, "variants").ok(),
    };
    let rows = reader.records();
    Faq::of(rows.map(|record| record.map_err(|error| error.to_string()).and_then(|row| columns.entry(content, &row))))
}

/// Spreadsheets of some countries part columns by semicolons.
fn delimiter(content: &str) -> u8 {
    let head = content.trim_start().lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|mark| head.as_bytes().contains(mark)).unwrap_or(b',')
}

struct Columns {
    question: usize,
    answer: usize,
    variants: Option<usize>,
}

impl Columns {
    fn entry(&self, content: &str, record: &StringRecord) -> Result<Entry, String> {
        let line = record.position().map_or(0, |position| line(content, position));
        let cell = |at: usize, name: &str| {
            let text = record.get(at).unwrap_or_default();
            if text.is_empty() { Err(format!("line {line}: no {name}, skipped")) } else { Ok(text.to_owned()) }
        };
        let variants = self.variants.and_then(|at| record.get(at)).unwrap_or_default();
        let wordings = variants.split('|').map(str::to_owned);
        Ok(Entry::new(cell(self.question, "question")?, cell(self.answer, "answer")?, wordings))
    }
}

fn column(header: &StringRecord, name: &str) -> Result<usize, String> {
    header.iter().position(|cell| cell.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let found: Vec<String> = header.iter().take(8).map(|cell| cell.chars().take(40).collect()).collect();
        format!("the first line has no column {name:?}; it must be question,answer and is {}", found.join(","))
    })
}

/// The line on which a record begins; its position may be that of empty lines before it.
fn line(content: &str, position: &csv::Position) -> u64 {
    let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = content.as_bytes().get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).filter(|byte| **byte == b'\n').count();
    position.line() + empty as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_whatever_the_order_of_columns() {
        let faq = parse(
            "\u{feff}Answer, id ,question,Variants\r\n\"Yes, \"\"soon\"\".\nReally.\",1, When? ,How soon?| 何时 |When?||何时\r\n",
        );
        let faq = faq.unwrap();
        let variants = vec!["How soon?".into(), "何时".into()];
        let expected = Entry { question: "When?".into(), answer: "Yes, \"soon\".\nReally.".into(), variants };
        assert_eq!(faq, Faq { entries: vec![expected], warnings: vec![] });
    }

    #[test]
    fn semicolons_and_tabs_part_columns_too() {
        for source in ["question;answer\nA, b?;c, d\n", "question\tanswer\nA, b?\tc, d\n"] {
            assert_eq!(parse(source).unwrap().entries[0].answer, "c, d");
        }
    }

    #[test]
    fn bad_rows_are_named_by_their_line() {
        let faq = parse("question,answer\nA?,a\nB?\n\n,c\nD?,d\n").unwrap();
        assert_eq!(faq.entries.len(), 2);
        assert_eq!(faq.warnings, ["line 3: no answer, skipped", "line 5: no question, skipped"]);
    }

    #[test]
    fn warnings_are_bounded() {
        let faq = parse(&format!("question,answer\nA?,a\n{}", "B?,\n".repeat(50))).unwrap();
        assert_eq!(faq.warnings.len(), 20);
        assert_eq!(faq.warnings[19], "31 more rows were skipped");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(parse(" \n").unwrap_err().contains("empty"));
        assert!(parse("question,reply\nA?,a").unwrap_err().contains("\"answer\""));
        assert!(parse("question,answer\n").unwrap_err().contains("no row"));
    }
}

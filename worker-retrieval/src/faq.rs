//! Curated questions and answers from CSV.

use csv::{ReaderBuilder, StringRecord, Trim};

/// Warnings kept at most; what comes after them is counted.
const MAX_WARNINGS: usize = 20;

/// A curated question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What a customer might ask.
    pub question: String,
    /// What to say.
    pub answer: String,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faq {
    /// The rows that can be used, in order; at least one.
    pub entries: Vec<Entry>,
    /// The rows that cannot, and why; at most 20.
    pub warnings: Vec<String>,
}

/// Reads CSV (RFC 4180, UTF-8, a byte order mark is ignored) with the columns `question` and `answer`; others are
/// ignored. The error tells a person what is missing.
pub fn parse(content: &str) -> Result<Faq, String> {
    let content = content.trim_start_matches('\u{feff}');
    if content.trim().is_empty() {
        return Err("the file is empty; its first line must be: question,answer".into());
    }
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(content.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let (question, answer) = (column(&header, "question")?, column(&header, "answer")?);
    let (mut faq, mut skipped) = (Faq::default(), 0);
    for record in reader.records() {
        match record.map_err(|error| error.to_string()).and_then(|record| entry(content, &record, question, answer)) {
            Ok(entry) => faq.entries.push(entry),
            Err(warning) if skipped < MAX_WARNINGS => {
                faq.warnings.push(warning);
                skipped += 1;
            }
            Err(_) => skipped += 1,
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

fn column(header: &StringRecord, name: &str) -> Result<usize, String> {
    header.iter().position(|cell| cell.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let found: Vec<String> = header.iter().take(8).map(|cell| cell.chars().take(40).collect()).collect();
        format!("the first line has no column {name:?}; it must be question,answer and is {}", found.join(","))
    })
}

fn entry(content: &str, record: &StringRecord, question: usize, answer: usize) -> Result<Entry, String> {
    let line = record.position().map_or(0, |position| line(content, position));
    let cell = |at: usize, name: &str| {
        let text = record.get(at).unwrap_or_default();
        if text.is_empty() { Err(format!("line {line}: no {name}, skipped")) } else { Ok(text.to_owned()) }
    };
    Ok(Entry { question: cell(question, "question")?, answer: cell(answer, "answer")? })
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
        let faq = parse("\u{feff}Answer, id ,question\r\n\"Yes, \"\"soon\"\".\nReally.\",1, When? \r\n").unwrap();
        let expected = Entry { question: "When?".into(), answer: "Yes, \"soon\".\nReally.".into() };
        assert_eq!(faq, Faq { entries: vec![expected], warnings: vec![] });
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

//! JSON lines.

use super::{Entry, Faq};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    question: String,
    #[serde(default)]
    answer: String,
    #[serde(default)]
    variants: Vec<String>,
}

/// Reads one JSON object a line, `{"question", "answer", "variants": []}`; other fields and empty lines are ignored. The
/// error tells a person what is missing.
pub fn parse_lines(content: &str) -> Result<Faq, String> {
    let lines = content.trim_start_matches('\u{feff}').lines().enumerate();
    Faq::of(lines.filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| entry(at + 1, line)))
}

fn entry(number: usize, line: &str) -> Result<Entry, String> {
    let Ok(Line { question, answer, variants }) = serde_json::from_str(line) else {
        return Err(format!("line {number}: not of the form {{\"question\": \"…\", \"answer\": \"…\"}}, skipped"));
    };
    for (text, name) in [(&question, "question"), (&answer, "answer")] {
        if text.trim().is_empty() {
            return Err(format!("line {number}: no {name}, skipped"));
        }
    }
    Ok(Entry::new(question.trim().to_owned(), answer.trim().to_owned(), variants.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_bad_ones_are_named() {
        let source = "{\"question\": \" A? \", \"answer\": \"a\", \"variants\": [\"B?\", \"\"], \"id\": 1}\n\nnonsense\n{\"answer\": \"b\"}\n";
        let faq = parse_lines(source).unwrap();
        assert_eq!(faq.entries, [Entry { question: "A?".into(), answer: "a".into(), variants: vec!["B?".into()] }]);
        assert!(faq.warnings[0].starts_with("line 3: not of the form"), "{faq:?}");
        assert_eq!(faq.warnings[1], "line 4: no question, skipped");
        assert!(parse_lines("[1, 2]\n").unwrap_err().contains("line 1"));
    }
}

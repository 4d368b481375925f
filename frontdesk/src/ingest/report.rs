//! What became of the documents, for a person.

use super::client::Sent;
use protocol::{IngestReport, Outcome};
use std::io::{IsTerminal, Write};

/// What became of each document so far.
#[derive(Default)]
pub struct Report {
    all: usize,
    done: usize,
    read: usize,
    unsent: usize,
    failed: usize,
    /// What is worth a line, by document.
    lines: Vec<(String, String)>,
}

impl Report {
    /// Of `all` documents.
    pub fn of(all: usize) -> Self {
        Self { all, ..Self::default() }
    }

    /// Counts one more, and shows how far it is where somebody watches.
    pub fn add(&mut self, name: String, outcome: anyhow::Result<Sent>) {
        self.done += 1;
        let line = match outcome {
            Ok(Sent::Skipped) => "skipped: no document".into(),
            Ok(Sent::Read(outcome)) => {
                self.read += usize::from(outcome.outcome != Outcome::Failed);
                self.failed += usize::from(outcome.outcome == Outcome::Failed);
                let what = match outcome.outcome {
                    Outcome::Added => format!("added, {} passages", outcome.passages),
                    Outcome::Replaced => format!("replaced, {} passages", outcome.passages),
                    Outcome::Unchanged => String::new(),
                    Outcome::Failed => {
                        format!("FAILED: {}", outcome.failure.as_ref().map_or("no reason given", |why| &why.message))
                    }
                };
                let warnings: Vec<String> = outcome.warnings.iter().map(|warning| format!("\n  {warning}")).collect();
                format!("{what}{}", warnings.concat())
            }
            Err(error) => {
                self.unsent += 1;
                self.failed += 1;
                format!("FAILED: {error:#}")
            }
        };
        if !line.is_empty() {
            self.lines.push((name, line));
        }
        self.show();
    }

    fn show(&self) {
        let mut terminal = std::io::stderr();
        if terminal.is_terminal() {
            let end = if self.done == self.all { "\n" } else { "" };
            // Nobody who watches, nobody who misses it.
            let _ = write!(terminal, "\r{} of {} documents, {} failed{end}", self.done, self.all, self.failed);
        }
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.all
    }

    /// How many the gateway took.
    pub fn read(&self) -> usize {
        self.read
    }

    /// How many never reached the gateway.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// How many were not taken.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// A line for each document, by name; unchanged ones are only counted.
    pub fn lines(&self) -> String {
        let mut lines: Vec<String> = self.lines.iter().map(|(name, line)| format!("{name}: {line}\n")).collect();
        lines.sort();
        lines.concat()
    }

    /// The counts, and what is served now.
    pub fn summary(&self, published: &IngestReport) -> String {
        let counts = published.counts;
        let version = published.version.map_or(String::new(), |version| format!("; version {} is served", version.0));
        format!(
            "{} added, {} replaced, {} unchanged, {} removed, {} failed{version}\n",
            counts.added, counts.replaced, counts.unchanged, counts.removed, self.failed
        )
    }
}

//! Dead letters as they are shown.

use protocol::{TenantId, Timestamp};
use runtime::broker::{DeadLetter, Reason};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// What is known of a dead letter besides what customers wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The job's id; for a body that names none, what its hash makes of it.
    #[serde(rename = "job")]
    pub id: String,
    /// Whose it is, where that can be read.
    pub tenant: Option<TenantId>,
    queue: String,
    #[serde(serialize_with = "name")]
    reason: Reason,
    why: String,
    /// Milliseconds since the Unix epoch.
    died: Option<Timestamp>,
    /// Milliseconds since it died.
    age_ms: Option<u64>,
    bytes: usize,
}

fn name<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.name())
}

impl Summary {
    /// What `letter` is.
    pub fn of(letter: &DeadLetter, now: Timestamp) -> Self {
        let envelope = letter.envelope();
        let unnamed = || {
            let hash = Sha256::digest(&letter.body);
            format!("body-{}", hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        Self {
            id: envelope.as_ref().map_or_else(unnamed, |envelope| envelope.job.to_string()),
            tenant: envelope.map(|envelope| envelope.tenant),
            queue: letter.queue.clone(),
            reason: letter.reason,
            why: letter.why.clone(),
            died: letter.died,
            age_ms: letter.died.map(|died| now.ms_from(died)),
            bytes: letter.body.len(),
        }
    }

    fn age(&self) -> String {
        match self.age_ms.map(|ms| ms / 1000) {
            None => "?".into(),
            Some(seconds @ 0..120) => format!("{seconds}s"),
            Some(seconds @ 120..7200) => format!("{}m", seconds / 60),
            Some(seconds @ 7200..172_800) => format!("{}h", seconds / 3600),
            Some(seconds) => format!("{}d", seconds / 86_400),
        }
    }

    fn cells(&self) -> [String; 7] {
        let tenant = self.tenant.as_ref().map_or_else(|| "?".into(), ToString::to_string);
        let (reason, why) = (self.reason.to_string(), printable(&self.why));
        [self.id.clone(), tenant, printable(&self.queue), reason, self.age(), self.bytes.to_string(), why]
    }
}

/// What a terminal may be sent.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// One line for each; `more` were left out.
pub fn table(letters: &[Summary], more: usize) -> String {
    let head = ["JOB", "TENANT", "QUEUE", "REASON", "AGE", "BYTES", "WHY"].map(String::from);
    let rows: Vec<_> = [head].into_iter().chain(letters.iter().map(Summary::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let lines: String = if letters.is_empty() { String::new() } else { rows.iter().map(line).collect() };
    let more = if more > 0 { format!("; {more} more, see --limit") } else { String::new() };
    format!("{lines}{} dead letters{more}\n", letters.len())
}

/// A whole dead letter.
#[derive(Debug, Serialize)]
pub struct Letter {
    #[serde(flatten)]
    summary: Summary,
    headers: Map<String, Value>,
    /// The job, or the text of what is none.
    body: Value,
}

impl Letter {
    /// All of `letter`.
    pub fn new(summary: Summary, letter: &DeadLetter) -> Self {
        let text = || Value::from(String::from_utf8_lossy(&letter.body).into_owned());
        let body = serde_json::from_slice(&letter.body).unwrap_or_else(|_| text());
        Self { summary, headers: letter.headers.clone(), body }
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["job", "tenant", "queue", "reason", "age", "bytes", "why"];
        for (name, cell) in names.iter().zip(self.summary.cells()) {
            writeln!(f, "{name:<8}{cell}")?;
        }
        // JSON has no control characters.
        writeln!(f, "headers {:#}", Value::from(self.headers.clone()))?;
        write!(f, "body    {:#}", self.body)
    }
}

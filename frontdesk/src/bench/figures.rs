//! Measurements of two sides, and their table. Pure.

use super::trace::{Sample, median};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Ours,
    Peer,
}

/// What a measurement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens in a second; more is better.
    TokensPerSecond,
    /// Seconds, shown in milliseconds; less is better.
    Seconds,
    /// How many times as much; more is better.
    Times,
    /// Requests in a second; more is better.
    RequestsPerSecond,
    /// Bytes, shown in MiB; less is better.
    Mebibytes,
    /// Bytes; less is better.
    Bytes,
    /// How many; less is better.
    Count,
}

/// All measurements of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub name: String,
    pub unit: Unit,
    pub ours: Vec<Sample>,
    pub peer: Vec<Sample>,
}

/// Rows in the order of their first measurement.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Figures(pub Vec<Row>);

impl Figures {
    /// Adds a measurement; none where there was nothing to measure.
    pub fn add(&mut self, name: &str, unit: Unit, who: Who, sample: Option<Sample>) {
        let at = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.0.push(Row { name: name.into(), unit, ours: Vec::new(), peer: Vec::new() });
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        let samples = if who == Who::Ours { &mut row.ours } else { &mut row.peer };
        samples.extend(sample);
    }
}

impl Unit {
    /// Whether less is better.
    fn is_cost(self) -> bool {
        matches!(self, Unit::Seconds | Unit::Mebibytes | Unit::Bytes | Unit::Count)
    }
}

impl Row {
    /// How many times as good ours is: by the median, by the best, and by the median by processor second.
    fn ratios(&self) -> [Option<f64>; 3] {
        let sides = self.summary(&self.ours).zip(self.summary(&self.peer)).filter(|_| self.unit != Unit::Times);
        let ratio = |ours: f64, peer: f64| if self.unit.is_cost() { peer / ours } else { ours / peer };
        let of = |value: fn(&Summary) -> Option<f64>| {
            sides.as_ref().and_then(|(ours, peer)| Some(ratio(value(ours)?, value(peer)?)))
        };
        [of(|side| Some(side.median)), of(|side| Some(side.best)), of(|side| side.per_cpu)]
    }

    fn summary(&self, samples: &[Sample]) -> Option<Summary> {
        let values = || samples.iter().map(|sample| sample.value);
        let best = if self.unit.is_cost() { values().reduce(f64::min) } else { values().reduce(f64::max) };
        let per_cpu = samples.iter().filter_map(|sample| sample.per_cpu).collect();
        Some(Summary { median: median(values().collect())?, best: best?, per_cpu: median(per_cpu) })
    }

    /// Median, best, and median by processor second.
    fn cells(&self, samples: &[Sample]) -> [String; 3] {
        let Some(Summary { median, best, per_cpu }) = self.summary(samples) else {
            return ["-"; 3].map(String::from);
        };
        let show = |value: f64| match self.unit {
            Unit::Seconds => number(value * 1000.0),
            Unit::Mebibytes => number(value / f64::from(1 << 20)),
            Unit::TokensPerSecond | Unit::Times | Unit::RequestsPerSecond | Unit::Bytes | Unit::Count => number(value),
        };
        [show(median), show(best), per_cpu.map_or("-".into(), number)]
    }
}

struct Summary {
    median: f64,
    best: f64,
    per_cpu: Option<f64>,
}

fn number(value: f64) -> String {
    match value {
        small if small < 1.0 => format!("{small:.3}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

impl Display for Unit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::TokensPerSecond => "tok/s",
            Unit::Seconds => "ms",
            Unit::Times => "times",
            Unit::RequestsPerSecond => "req/s",
            Unit::Mebibytes => "MiB",
            Unit::Bytes => "bytes",
            Unit::Count => "",
        })
    }
}

impl Display for Figures {
    /// A Markdown table; the peer's columns are there when it was measured.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let with_peer = self.0.iter().any(|row| !row.peer.is_empty());
        let mut titles = vec!["", "", "median", "best", "per cpu-s"];
        if with_peer {
            titles.extend(["peer median", "best", "per cpu-s", "ratio median", "best", "per cpu-s"]);
        }
        let mut lines = vec![titles.into_iter().map(String::from).collect::<Vec<_>>()];
        lines.extend(self.0.iter().map(|row| line(row, with_peer)));
        write_aligned(f, &lines)
    }
}

fn line(row: &Row, with_peer: bool) -> Vec<String> {
    let mut cells = vec![row.name.clone(), row.unit.to_string()];
    cells.extend(row.cells(&row.ours));
    if with_peer {
        cells.extend(row.cells(&row.peer));
        cells.extend(row.ratios().map(|ratio| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"))));
    }
    cells
}

/// Writes `lines` as a table whose first line is the head; names to the left, numbers to the right.
pub fn write_aligned(f: &mut Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (row, line) in lines.iter().enumerate() {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if at < 2 { write!(f, "| {cell:<width$} ")? } else { write!(f, "| {cell:>width$} ")? }
        }
        writeln!(f, "|")?;
        if row == 0 {
            let rule = |(at, width): (usize, &usize)| "-".repeat(width + 1) + if at < 2 { "-" } else { ":" };
            writeln!(f, "|{}|", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join("|"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_bests_and_who_is_faster() {
        let mut figures = Figures::default();
        for (rate, seconds) in [(10.0, 0.2), (30.0, 0.4), (20.0, 0.3)] {
            let rate = Sample { value: rate, per_cpu: Some(rate / 2.0) };
            figures.add("decode", Unit::TokensPerSecond, Who::Ours, Some(rate));
            figures.add("first token", Unit::Seconds, Who::Ours, Some(seconds.into()));
        }
        let alone = figures.to_string();
        let mut lines = alone.lines();
        assert_eq!(lines.next(), Some("|             |       | median | best | per cpu-s |"));
        assert_eq!(lines.next(), Some("|-------------|-------|-------:|-----:|----------:|"));
        assert_eq!(lines.next(), Some("| decode      | tok/s |   20.0 | 30.0 |      10.0 |"));
        assert_eq!(lines.next(), Some("| first token | ms    |    300 |  200 |         - |"));
        figures.add("decode", Unit::TokensPerSecond, Who::Peer, Some(10.0.into()));
        figures.add("first token", Unit::Seconds, Who::Peer, Some(0.6.into()));
        let both = figures.to_string();
        let end = "        2.00 | 3.00 |         - |";
        assert!(both.lines().skip(2).all(|line| line.ends_with(end)), "{both}");
    }

    #[test]
    fn what_could_not_be_measured_is_a_dash() {
        let mut figures = Figures::default();
        figures.add("decode", Unit::TokensPerSecond, Who::Ours, None);
        assert!(figures.to_string().ends_with("| decode | tok/s |      - |    - |         - |\n"), "{figures}");
    }
}

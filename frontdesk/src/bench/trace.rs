//! What happened in one run of an engine, and the figures in it. Pure.

use protocol::{TokenLogprob, Usage};
use serde::Serialize;

/// A point in time: seconds on the clock, and of processor time if that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    pub wall: f64,
    pub cpu: Option<f64>,
}

/// What came of an answer at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// When, by its place in the trace.
    pub moment: usize,
    pub tokens: u32,
    pub text: String,
    pub logprobs: Vec<TokenLogprob>,
}

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    pub pieces: Vec<Piece>,
    pub usage: Usage,
}

/// One run: several prompts added at once and answered to the end.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The first is when the prompts were added; one for each step that had something to tell.
    pub moments: Vec<Moment>,
    pub sequences: Vec<Sequence>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    pub value: f64,
    /// A rate's tokens by processor second instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_cpu: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { value, per_cpu: None }
    }
}

impl Sequence {
    /// Tokens in the pieces with these moments. A server tells its true count only at the end, and may put two tokens
    /// into a piece, so pieces are scaled to it.
    fn tokens(&self, counts: impl Fn(usize) -> bool) -> f64 {
        let all: u32 = self.pieces.iter().map(|piece| piece.tokens).sum();
        let within: u32 = self.pieces.iter().filter(|piece| counts(piece.moment)).map(|piece| piece.tokens).sum();
        let (all, within) = (f64::from(all), f64::from(within));
        if all > 0.0 { within * f64::from(self.usage.completion_tokens) / all } else { 0.0 }
    }

    /// The answer.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// The moments of the first and the last token.
    fn span(&self) -> Option<(usize, usize)> {
        Some((self.pieces.first()?.moment, self.pieces.last()?.moment))
    }
}

impl Trace {
    /// Prompt tokens by time until the first token of the last sequence.
    pub fn prefill(&self) -> Option<Sample> {
        let last = self.spans().map(|(first, _)| first).max()?;
        let tokens = self.sequences.iter().map(|sequence| f64::from(sequence.usage.prompt_tokens)).sum();
        self.rate(tokens, 0, last)
    }

    /// Median seconds to the first token.
    pub fn first_token(&self) -> Option<Sample> {
        let times = self.spans().map(|(first, _)| self.seconds(0, first)).collect();
        median(times).map(Sample::from)
    }

    /// Median seconds for each token after the first.
    pub fn per_token(&self) -> Option<Sample> {
        let per_token = |sequence: &Sequence| {
            let (first, last) = sequence.span()?;
            (last > first).then(|| self.seconds(first, last) / sequence.tokens(|moment| moment > first))
        };
        median(self.sequences.iter().filter_map(per_token).collect()).map(Sample::from)
    }

    /// Tokens by time while all sequences decode: after the last one's first token, until the first one ends.
    pub fn decode(&self) -> Option<Sample> {
        let begin = self.spans().map(|(first, _)| first).max()?;
        let end = self.spans().map(|(_, last)| last).min()?;
        let within = |sequence: &Sequence| sequence.tokens(|moment| begin < moment && moment <= end);
        if begin < end { self.rate(self.sequences.iter().map(within).sum(), begin, end) } else { None }
    }

    /// Answers' tokens by time from the beginning to the end, prompts and all.
    pub fn whole(&self) -> Option<Sample> {
        let tokens = self.sequences.iter().map(|sequence| f64::from(sequence.usage.completion_tokens)).sum();
        self.rate(tokens, 0, self.moments.len().checked_sub(1)?)
    }

    fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sequences.iter().filter_map(Sequence::span)
    }

    fn seconds(&self, from: usize, to: usize) -> f64 {
        self.moments[to].wall - self.moments[from].wall
    }

    fn rate(&self, tokens: f64, from: usize, to: usize) -> Option<Sample> {
        let wall = self.seconds(from, to);
        let cpu = self.moments[to].cpu.zip(self.moments[from].cpu).map(|(to, from)| to - from);
        let per_cpu = cpu.filter(|cpu| *cpu > 0.0).map(|cpu| tokens / cpu);
        (wall > 0.0).then(|| Sample { value: tokens / wall, per_cpu })
    }
}

/// The middle value; the mean of both when there are two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(moment: usize) -> Piece {
        Piece { moment, tokens: 1, text: "a".into(), logprobs: Vec::new() }
    }

    /// Two answers of four tokens; the second begins and ends a step later. Steps take 0.1 s, and half of it computing.
    fn trace() -> Trace {
        let sequence = |first: usize| Sequence {
            pieces: (first..first + 4).map(piece).collect(),
            usage: Usage { prompt_tokens: 30, completion_tokens: 4 },
        };
        let moment = |step| Moment { wall: f64::from(step) * 0.1, cpu: Some(f64::from(step) * 0.05) };
        Trace { moments: (0..=5).map(moment).collect(), sequences: vec![sequence(1), sequence(2)] }
    }

    fn is(sample: Option<Sample>, value: f64, per_cpu: Option<f64>) {
        let sample = sample.unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(sample.value, value), "{sample:?}, expected {value}");
        assert_eq!(sample.per_cpu.is_some(), per_cpu.is_some());
        assert!(sample.per_cpu.zip(per_cpu).is_none_or(|(a, b)| close(a, b)), "{sample:?}, expected {per_cpu:?}");
    }

    #[test]
    fn figures_of_a_run() {
        is(trace().prefill(), 300.0, Some(600.0));
        is(trace().first_token(), 0.15, None);
        is(trace().per_token(), 0.1, None);
        // After step 2 up to step 4 both speak.
        is(trace().decode(), 20.0, Some(40.0));
        is(trace().whole(), 16.0, Some(32.0));
    }

    #[test]
    fn a_piece_of_two_tokens_counts_as_two() {
        let mut trace = trace();
        trace.sequences.iter_mut().for_each(|sequence| sequence.usage.completion_tokens = 8);
        is(trace.decode(), 40.0, Some(80.0));
        is(trace.per_token(), 0.05, None);
    }

    #[test]
    fn without_a_common_time_there_is_no_rate() {
        let mut late = trace();
        late.sequences[1].pieces = vec![piece(5)];
        assert_eq!(late.decode(), None);
        let silent = Trace { moments: late.moments, sequences: vec![Sequence::default()] };
        assert_eq!((silent.prefill(), silent.first_token(), silent.per_token()), (None, None, None));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}

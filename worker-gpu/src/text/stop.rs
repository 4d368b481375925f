//! Stop strings: text is let through only once no stop string can begin in it any more.

/// Holds back what may become a stop string; never more than the longest of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What [`StopFilter::push`] lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Text to show.
    pub text: String,
    /// Whether a stop string followed; then nothing more is to be shown.
    pub stopped: bool,
}

impl StopFilter {
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Appends generated text.
    pub fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        if let Some(at) = self.first() {
            self.held.truncate(at);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let rest = self.held.split_off(self.held.len() - self.undecided());
        Passed { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// Where the stop string begins that is complete first, whatever pieces the text comes in; the longest of several.
    fn first(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at + stop.len(), at)));
        found.min().map(|(_, at)| at)
    }

    /// What is still held back when generation ends.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Length of the longest end of the held text that begins a stop string.
    fn undecided(&self) -> usize {
        let begins = |stop: &String| {
            let longest = (stop.len() - 1).min(self.held.len());
            (1..=longest).rev().find(|&n| stop.is_char_boundary(n) && self.held.ends_with(&stop[..n]))
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is shown of a text that comes character by character.
    fn whole(text: &str, stops: &[String]) -> String {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let complete = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str())).map(String::len).max();
            if let Some(longest) = complete {
                return text[..end - longest].to_string();
            }
        }
        text.to_string()
    }

    proptest! {
        #[test]
        fn cutting_the_text_differently_changes_nothing(
            pieces in prop::collection::vec("[ab。]{0,4}", 0..12),
            stops in prop::collection::vec("[ab。]{1,4}", 0..3),
        ) {
            let mut filter = StopFilter::new(&stops);
            let (mut shown, mut stopped) = (String::new(), false);
            for piece in &pieces {
                let passed = filter.push(piece);
                shown.push_str(&passed.text);
                stopped = passed.stopped;
                if stopped { break; }
            }
            if !stopped { shown.push_str(&filter.finish()); }
            prop_assert_eq!(shown, whole(&pieces.concat(), &stops));
        }
    }

    #[test]
    fn the_stop_string_that_is_complete_first_counts() {
        let mut filter = StopFilter::new(&["a".into(), "ba。".into()]);
        assert_eq!(filter.push("ba。。"), Passed { text: "b".into(), stopped: true });
    }

    #[test]
    fn text_that_cannot_become_a_stop_string_passes_at_once() {
        let mut filter = StopFilter::new(&["\n\n".into()]);
        assert_eq!(filter.push("one"), Passed { text: "one".into(), stopped: false });
        assert_eq!(filter.push("\n"), Passed { text: String::new(), stopped: false });
        assert_eq!(filter.push("two"), Passed { text: "\ntwo".into(), stopped: false });
        assert_eq!(filter.push("\n\nthree"), Passed { text: String::new(), stopped: true });
    }
}

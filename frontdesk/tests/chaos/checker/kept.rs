//! What is kept: everything that was accepted, once, in order, and never less than before.

use super::{Findings, Promise, mismatch};
use crate::record::{Exchange, Message, Source};

const SOURCES: [Source; 2] = [Source::Store, Source::Gateway];

/// Whether and how `message` is kept in the last read of each source.
pub fn check(message: &Message, findings: &mut Findings<'_>) {
    for source in SOURCES {
        let Some(read) = findings.conversation.last(source) else {
            findings.add(Promise::NothingLost, format!("nothing could be read from the {source:?}"));
            continue;
        };
        let kept: Vec<_> = read.exchanges.iter().filter(|exchange| exchange.id == message.id).collect();
        match kept[..] {
            [] => missing(message, source, findings),
            [exchange] => one(message, exchange, source, findings),
            _ => findings.add(Promise::OneAnswer, format!("{} is kept {} times", message.mark, kept.len())),
        }
    }
}

fn missing(message: &Message, source: Source, findings: &mut Findings<'_>) {
    let mark = &message.mark;
    if message.finished().is_some() {
        findings.add(Promise::NothingLost, format!("the answer to {mark} was shown and is not in the {source:?}"));
    } else if message.accepted.is_some() {
        let how = if message.left { "the customer left" } else { "the customer came back until the end" };
        let last = message.events().last().map(|seen| format!("{}:{} {:?}", seen.job, seen.seq, seen.event));
        let detail = format!("{mark} was accepted and has no answer in the {source:?}; {how}; last seen: {last:?}");
        findings.add(Promise::NothingLost, detail);
    } else if source == Source::Store {
        findings.add(Promise::Recovery, format!("{mark} was never taken: {} refusals", message.refusals));
    }
}

fn one(message: &Message, exchange: &Exchange, source: Source, findings: &mut Findings<'_>) {
    let Exchange { answer, job, question, .. } = exchange;
    let mark = &message.mark;
    if *question != message.text {
        findings.add(Promise::OwnAnswer, format!("{mark} is kept as {question:?} in the {source:?}"));
    }
    if let Some((shown_job, shown, _)) = message.finished() {
        if shown_job != job {
            findings.add(Promise::OneAnswer, format!("{mark} was answered by {shown_job}, {job} is in the {source:?}"));
        }
        if shown != answer {
            findings
                .add(Promise::WholeAnswer, format!("{mark} was shown {shown:?}, and {answer:?} is in the {source:?}"));
        }
    }
    let is_degraded = message.finished().is_none_or(|(.., is_degraded)| is_degraded) && !answer.starts_with("echo: ");
    if let Some(why) = mismatch(answer, &message.text, mark, is_degraded) {
        findings.add(Promise::OwnAnswer, format!("{why} in the {source:?}"));
    }
}

/// A message that was sent when an earlier one had been accepted is kept behind that one. One that has failed was sent again
/// later.
pub fn order(findings: &mut Findings<'_>) {
    let conversation = findings.conversation;
    let Some(read) = conversation.last(Source::Store) else { return };
    let place = |message: &Message| read.exchanges.iter().position(|exchange| exchange.id == message.id);
    let steady = |message: &&Message| message.events().all(|seen| !message.failed(&seen.job));
    let placed: Vec<_> = conversation.messages.iter().filter(steady).filter_map(|m| Some((m, place(m)?))).collect();
    for (earlier, before) in &placed {
        for (later, after) in &placed {
            if earlier.accepted.is_some_and(|accepted| accepted < later.sent) && before > after {
                let detail = format!("{} was accepted before {} was sent and is kept behind", earlier.mark, later.mark);
                findings.add(Promise::Order, detail);
            }
        }
    }
}

/// Each read begins with all of the one before it.
pub fn growth(findings: &mut Findings<'_>) {
    let conversation = findings.conversation;
    for source in SOURCES {
        let reads: Vec<_> = conversation.reads.iter().filter(|read| read.source == source).collect();
        for (number, pair) in reads.windows(2).enumerate() {
            let (before, after) = (&pair[0], &pair[1]);
            if after.version < before.version {
                let detail = format!("read {number}: version {:?} and then {:?}", before.version, after.version);
                findings.add(Promise::NoStaleWrite, detail);
            }
            if !after.exchanges.starts_with(&before.exchanges) {
                let detail =
                    format!("read {number} of the {source:?}: {}", difference(&before.exchanges, &after.exchanges));
                findings.add(Promise::NoStaleWrite, detail);
            }
        }
    }
}

fn difference(before: &[Exchange], after: &[Exchange]) -> String {
    let place = before.iter().zip(after).position(|(a, b)| a != b).unwrap_or(after.len().min(before.len()));
    let (was, is) = (before.get(place), after.get(place));
    format!("{} exchanges and then {}; at {place}: {was:?} and then {is:?}", before.len(), after.len())
}

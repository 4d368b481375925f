//! What was shown of one answer: whole, once, and the same to every reader.

use super::{Findings, Promise, marks, mismatch};
use crate::record::{Message, Seen, View};
use protocol::TurnEvent;
use std::collections::{BTreeMap, BTreeSet};

/// The events of one job by their numbers.
type Events<'a> = BTreeMap<u64, &'a TurnEvent>;

pub fn check(message: &Message, findings: &mut Findings<'_>) {
    let jobs: BTreeSet<&str> = message.events().map(|seen| seen.job.as_str()).collect();
    let open: Vec<_> = jobs.iter().filter(|job| !message.failed(job)).collect();
    if open.len() > 1 {
        findings.add(Promise::OneAnswer, format!("{} was answered by the turns {open:?}", message.mark));
    }
    for view in &message.views {
        if let Some(gap) = gap(view) {
            let shapes: Vec<_> = message.views.iter().map(shape).collect();
            findings.add(Promise::WholeAnswer, format!("{}: {gap}; its streams: {shapes:?}", message.mark));
        }
    }
    for job in jobs {
        let events = merged(message, job, findings);
        text(message, job, &events, findings);
    }
    if let Some((_, text, is_degraded)) = message.finished()
        && let Some(why) = mismatch(text, &message.text, &message.mark, is_degraded)
    {
        findings.add(Promise::OwnAnswer, why);
    }
}

/// Where the view does not go on with the next number, or with another turn's first.
fn gap(view: &View) -> Option<String> {
    let mut before = view.after.as_ref().map(|(job, seq)| (job.as_str(), *seq));
    for Seen { job, seq, event } in &view.events {
        let expected = before.filter(|(last, _)| last == job).map_or(0, |(_, seq)| seq + 1);
        if *seq != expected {
            return Some(format!("{} {job}:{seq} where {expected} was due", event.name()));
        }
        before = Some((job, *seq));
    }
    None
}

/// After which event a stream was to begin, and which it showed.
fn shape(view: &View) -> String {
    let after = view.after.as_ref().map(|(_, seq)| *seq);
    let shown: Vec<_> = view.events.iter().map(|seen| seen.seq).collect();
    format!("after {after:?}: {shown:?}")
}

/// All that was shown of `job`, and a finding for each number that stood for two different things.
fn merged<'a>(message: &'a Message, job: &str, findings: &mut Findings<'_>) -> Events<'a> {
    let mut events = Events::new();
    for seen in message.events().filter(|seen| seen.job == job) {
        match events.insert(seen.seq, &seen.event) {
            Some(other) if !same(other, &seen.event) => {
                let (mark, seq) = (&message.mark, seen.seq);
                let detail = format!("{mark}: {job}:{seq} was {other:?} and then {:?}", seen.event);
                findings.add(Promise::WholeAnswer, detail);
            }
            _ => {}
        }
    }
    let ends: Vec<_> = events.iter().filter(|(_, event)| event.is_last()).map(|(seq, _)| *seq).collect();
    if ends.len() > 1 {
        findings.add(Promise::OneAnswer, format!("{}: {job} ended at each of {ends:?}", message.mark));
    }
    events
}

/// Whether two views of an event agree. What an answer cost is not part of it.
fn same(a: &TurnEvent, b: &TurnEvent) -> bool {
    match (a, b) {
        (TurnEvent::Finished { text: a, .. }, TurnEvent::Finished { text: b, .. }) => a == b,
        // A stored answer keeps only the citations that it refers to.
        (TurnEvent::Retrieved { .. }, TurnEvent::Retrieved { .. }) => true,
        _ => a == b,
    }
}

/// The joined pieces are the answer, or its beginning.
fn text(message: &Message, job: &str, events: &Events<'_>, findings: &mut Findings<'_>) {
    let (mut joined, mut next, mut complete) = (String::new(), 0, true);
    for (seq, event) in events {
        complete &= *seq == next;
        next = seq + 1;
        match event {
            TurnEvent::Token { text, .. } if complete => joined.push_str(text),
            TurnEvent::Finished { text, .. } if complete && *text != joined => {
                let detail = format!("{}: {job} showed {joined:?} and ended with {text:?}", message.mark);
                findings.add(Promise::WholeAnswer, detail);
            }
            TurnEvent::Finished { text, .. } if !text.starts_with(&joined) => {
                let detail = format!("{}: {job} began with {joined:?} and ended with {text:?}", message.mark);
                findings.add(Promise::WholeAnswer, detail);
            }
            _ => {}
        }
    }
    if let Some(other) = marks(&joined).find(|other| *other != message.mark) {
        findings.add(Promise::OwnAnswer, format!("{} was shown {other}: {joined:?}", message.mark));
    }
}

//! A good record passes; each planted violation is found, and is all that is found.

use super::{Promise, check, mark};
use crate::record::{Conversation, Exchange, Message, Read, Seen, Source, View};
use protocol::{ErrorCode, Failure, FinishReason, TurnEvent};

fn seen(job: &str, seq: u64, event: TurnEvent) -> Seen {
    Seen { job: job.into(), seq, event }
}

fn finished(text: &str) -> TurnEvent {
    serde_json::from_value(serde_json::json!({"type": "finished", "text": text, "finish_reason": FinishReason::Stop,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "citations": []}))
    .unwrap()
}

fn answer(text: &str) -> String {
    format!("echo: {text}\n\n(Nothing was found.)")
}

/// The live view of `job`'s answer to `text`: 0 to 4.
fn live(job: &str, text: &str) -> Vec<Seen> {
    let answer = answer(text);
    let (first, rest) = answer.split_at(5);
    let (second, third) = rest.split_at(4);
    let mut events = vec![TurnEvent::Retrieved { citations: Vec::new() }];
    events.extend([first, second, third].map(TurnEvent::token));
    events.push(finished(&answer));
    events.into_iter().zip(0..).map(|(event, seq)| seen(job, seq, event)).collect()
}

/// A message that was read until it broke at 2, then to its end, then once more.
fn message(number: u64) -> Message {
    let (mark, job) = (mark(&format!("s1m{number}")), format!("j{number}"));
    let text = format!("where is {mark} please");
    let events = live(&job, &text);
    let views = vec![
        View { after: None, events: events[..3].to_vec() },
        View { after: Some((job.clone(), 2)), events: events[3..].to_vec() },
        View { after: None, events: events.clone() },
    ];
    let id = format!("m{number}");
    Message { id, text, mark, sent: 10 * number, accepted: Some(10 * number + 1), views, ..Message::default() }
}

fn exchange(message: &Message) -> Exchange {
    let job = message.views[0].events[0].job.clone();
    Exchange { id: message.id.clone(), question: message.text.clone(), answer: answer(&message.text), job }
}

fn good() -> Conversation {
    let messages: Vec<_> = (1..=3).map(message).collect();
    let kept: Vec<_> = messages.iter().map(exchange).collect();
    let read = |source, count: usize| {
        let version = if source == Source::Store { (1, count as u64) } else { (0, 0) };
        Read { source, version, exchanges: kept[..count].to_vec() }
    };
    let reads = (0..=3).flat_map(|count| [read(Source::Store, count), read(Source::Gateway, count)]).collect();
    Conversation { tenant: "acme".into(), session: "s1".into(), messages, reads }
}

/// Checks that `harm` breaks `promise` and no other.
fn breaks(promise: Promise, harm: impl FnOnce(&mut Conversation)) {
    let mut conversation = good();
    harm(&mut conversation);
    let found = check(&[good(), conversation]);
    assert!(!found.is_empty(), "{promise:?} was broken and nothing was found");
    assert!(found.iter().all(|violation| violation.promise == promise), "{promise:?}: {found:#?}");
}

fn last_reads(conversation: &mut Conversation) -> impl Iterator<Item = &mut Read> {
    conversation.reads.iter_mut().rev().take(2)
}

#[test]
fn what_is_well_is_not_found() {
    assert_eq!(check(&[good()]), []);
    let mut conversation = good();
    let failed = TurnEvent::Failed(Failure::new(ErrorCode::Unavailable, "later"));
    // Told of a failure, the customer sent it again; another one left and was answered all the same.
    conversation.messages[0].views.insert(0, View { after: None, events: vec![seen("j0", 0, failed)] });
    conversation.messages[2].views.truncate(1);
    conversation.messages[2].left = true;
    assert_eq!(check(&[conversation]), []);
}

#[test]
fn a_lost_message_is_found() {
    let forget = |conversation: &mut Conversation| {
        for read in &mut conversation.reads {
            read.exchanges.retain(|exchange| exchange.id != "m3");
        }
    };
    breaks(Promise::NothingLost, forget);
    breaks(Promise::NothingLost, |conversation| {
        forget(conversation);
        conversation.messages[2].views.clear();
        conversation.messages[2].left = true;
    });
    breaks(Promise::NothingLost, |conversation| conversation.reads.retain(|read| read.source == Source::Store));
}

#[test]
fn a_message_that_is_never_taken_is_found() {
    breaks(Promise::Recovery, |conversation| {
        let [mark, text] = [mark("s1m4"), "too late".to_string()];
        conversation.messages.push(Message { id: "m4".into(), text, mark, refusals: 7, ..Message::default() });
    });
}

#[test]
fn a_second_answer_is_found() {
    breaks(Promise::OneAnswer, |conversation| {
        last_reads(conversation).for_each(|read| read.exchanges.push(read.exchanges[0].clone()));
    });
    breaks(Promise::OneAnswer, |conversation| {
        let other = live("j9", &conversation.messages[0].text);
        conversation.messages[0].views.push(View { after: None, events: other });
    });
    breaks(Promise::OneAnswer, |conversation| {
        for read in &mut conversation.reads {
            read.exchanges.iter_mut().for_each(|exchange| exchange.job.push('9'));
        }
    });
}

#[test]
fn a_torn_answer_is_found() {
    let view =
        |n: usize| move |conversation: &mut Conversation| drop(conversation.messages[0].views[n].events.remove(1));
    breaks(Promise::WholeAnswer, view(0));
    // Only the end, where a piece was due before it.
    breaks(Promise::WholeAnswer, |conversation| drop(conversation.messages[0].views[1].events.remove(0)));
    breaks(Promise::WholeAnswer, |conversation| {
        // Twice the same piece.
        let piece = conversation.messages[0].views[0].events[2].clone();
        conversation.messages[0].views[1].events.insert(0, piece);
    });
    breaks(Promise::WholeAnswer, |conversation| {
        // The same number, another piece.
        conversation.messages[0].views[0].events[2].event = TurnEvent::token("???");
    });
    breaks(Promise::WholeAnswer, |conversation| {
        for view in &mut conversation.messages[0].views {
            view.events.retain(|seen| !matches!(seen.event, TurnEvent::Token { .. }));
        }
        conversation.messages[0].views.truncate(1);
        let end = conversation.messages[1].views[1].events[1].event.clone();
        let (job, view) = ("j1".to_string(), &mut conversation.messages[0].views[0]);
        view.events = vec![view.events[0].clone(), seen(&job, 1, TurnEvent::token("half")), seen(&job, 2, end)];
        conversation.messages[0].text = conversation.messages[1].text.clone();
        conversation.messages[0].mark = conversation.messages[1].mark.clone();
        conversation.messages.truncate(1);
        conversation.messages[0].id = "m2".into();
        conversation.messages[0].views[0].events.iter_mut().for_each(|seen| seen.job = "j2".into());
    });
    breaks(Promise::WholeAnswer, |conversation| {
        for read in &mut conversation.reads {
            read.exchanges
                .iter_mut()
                .take(1)
                .for_each(|exchange| exchange.answer.insert_str(exchange.answer.len() - 1, " and more"));
        }
    });
}

#[test]
fn a_failure_that_was_shown_in_the_place_of_an_answer_is_found() {
    breaks(Promise::WholeAnswer, |conversation| {
        let failed = TurnEvent::Failed(Failure::new(ErrorCode::Conflict, "elsewhere"));
        conversation.messages[0].views[0].events.push(seen("j1", 3, failed));
    });
}

#[test]
fn a_stale_write_is_found() {
    breaks(Promise::NoStaleWrite, |conversation| {
        let old = conversation.reads[2].clone();
        conversation.reads.insert(6, old);
    });
    breaks(Promise::NoStaleWrite, |conversation| conversation.reads[4].version = (1, 9));
    breaks(Promise::NoStaleWrite, |conversation| conversation.reads[4].exchanges[0].answer.push('!'));
}

#[test]
fn a_changed_order_is_found() {
    breaks(Promise::Order, |conversation| {
        conversation.reads.truncate(2);
        let exchanges = [1, 0, 2].map(|n| exchange(&conversation.messages[n])).to_vec();
        for source in [Source::Store, Source::Gateway] {
            conversation.reads.push(Read { source, version: (1, 3), exchanges: exchanges.clone() });
        }
    });
}

#[test]
fn an_answer_to_another_question_is_found() {
    breaks(Promise::OwnAnswer, |conversation| {
        let foreign = mark("s2m1");
        for view in &mut conversation.messages[0].views {
            for seen in &mut view.events {
                if let TurnEvent::Finished { text, .. } = &mut seen.event {
                    *text = text.replace("Nothing", &foreign);
                }
            }
            view.events.retain(|seen| !matches!(seen.event, TurnEvent::Token { .. }));
        }
        conversation.messages[0].views.drain(..3);
        for read in &mut conversation.reads {
            read.exchanges.iter_mut().take(1).for_each(|e| e.answer = e.answer.replace("Nothing", &foreign));
        }
    });
    breaks(Promise::OwnAnswer, |conversation| {
        conversation.messages[2].views.truncate(1);
        for read in &mut conversation.reads {
            read.exchanges
                .iter_mut()
                .skip(2)
                .for_each(|exchange| exchange.answer = "echo: something else\n\n(x)".into());
        }
    });
}

//! Whatever happens in whatever order, a customer sees one untorn answer with one end.

use crate::{
    Persona,
    breaker::Part,
    prompt::{Grounded, Prompt},
    turn::{Abstention, Effect, Fallback, Given, Input, Knowledge, MAX_RESTARTS, Patience, Policy, Spec, Turn},
};
use proptest::prelude::*;
use protocol::{
    Aside, ErrorCode, Event, Failure, FinishReason, JobId, Lang, Origin, Priority, Reply, Retrieved, Sampling,
    Timestamp, Tools, TurnEvent, Usage, WorkerId,
};

const FALLBACK: Fallback = Fallback { faq_confidence: 0.8, apology: "Sorry." };
const UNKNOWN: &str = "I do not know.";
const PATIENCE: Patience = Patience { queue_wait_ms: 150, first_token_ms: 300, give_up_ms: 700 };

fn spec(knowledge: bool) -> Spec {
    let question = "How do I reset my password?".to_string();
    let persona = Persona::default();
    let grounded =
        Grounded { persona, lang: Lang::en(), history: Vec::new(), question: question.clone(), budget: 3000 };
    Spec {
        job: JobId::parse("job_1").unwrap(),
        lang: Lang::en(),
        knowledge: knowledge.then_some(Knowledge { query: question, context: None, top_k: 5 }),
        prompt: Prompt::Grounded(grounded),
        sampling: Sampling { max_tokens: 20, ..Sampling::default() },
        deadline: Timestamp(10_000),
        retrieval_deadline: Timestamp(1_000),
        stall_ms: 500,
        patience: PATIENCE,
        fallback: None,
        reply: None,
        policy: Policy {
            faq_confidence: Some(0.9),
            told: None,
            abstention: Some(Abstention { below: 0.5, text: UNKNOWN.into() }),
        },
        recalls: false,
        checks_markers: true,
        priority: Priority::Interactive,
        weight: 1,
        worker: None,
        run: 0,
        tools: Tools::default(),
        thinking: None,
        shows_asides: true,
    }
}

fn failure() -> Failure {
    Failure::new(ErrorCode::EngineFailed, "x")
}

fn event() -> impl Strategy<Value = Event> {
    let token = ("[a-z\u{4e00}-\u{4e10} 1\\[\\]]{0,4}", 0u32..3).prop_map(|(text, tokens)| Event::token(text, tokens));
    let aside = |raw: String| Aside { reasoning: raw.clone(), raw, calls: Vec::new(), tokens: 1 };
    let aside = "[A-Z]{0,3}".prop_map(move |raw| Event::Aside(aside(raw)));
    let usage = Usage { prompt_tokens: 7, completion_tokens: 3 };
    let worker = WorkerId::parse("w").unwrap();
    prop_oneof![
        8 => token,
        2 => aside,
        1 => Just(Event::Started { worker, model: "m".into(), prompt_tokens: 7 }),
        1 => Just(Event::Finished { reason: FinishReason::Stop, usage }),
        1 => Just(Event::Failed(failure())),
        1 => prop::option::of(0.0f32..1.0).prop_map(|confidence| {
            Event::Retrieved(Retrieved { confidence, ..Retrieved::default() })
        }),
        1 => Just(Event::Deleted),
    ]
}

/// A frame of any of the turn's first jobs, or of nobody's; numbers and attempts at random.
fn reply() -> impl Strategy<Value = Reply> {
    let job = prop_oneof![
        Just("job_1.r0"),
        Just("job_1.g0"),
        Just("job_1.g0"),
        Just("job_1.g1"),
        Just("job_1.g2"),
        Just("job_2.g0")
    ];
    (job, 0u32..3, 0u64..2, 0u64..6, prop::collection::vec(event(), 0..5)).prop_map(
        |(job, attempt, delivery, seq, events)| Reply {
            job: JobId::parse(job).unwrap(),
            attempt,
            delivery,
            seq,
            events,
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let job = JobId::parse("job_1.g0").unwrap();
    prop_oneof![
        20 => reply().prop_map(Input::Reply),
        2 => Just(Input::Accepted),
        2 => Just(Input::Tick),
        1 => Just(Input::Lost),
        1 => Just(Input::Stop),
        1 => Just(Input::Abandoned),
        1 => Just(Input::PublishFailed { job: job.clone(), failure: failure() }),
        1 => Just(Input::Refused { job, failure: failure() }),
        1 => Just(Input::Fail(failure())),
        1 => Just(Input::Committed),
        1 => Just(Input::CommitFailed(failure())),
        4 => prop::option::weighted(0.2, Just(kept())).prop_map(Input::Recalled),
    ]
}

/// What the answer cache has.
fn kept() -> Given {
    Given { text: "As before.".into(), citations: vec![], origin: Origin::Cache, degraded: false }
}

#[derive(Default)]
struct Seen {
    events: Vec<TurnEvent>,
    text: String,
    reasoning: String,
    /// Both, as they came.
    generated: String,
    commits: usize,
    jobs: Vec<JobId>,
    judged: Vec<Part>,
    looks: usize,
}

impl Seen {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Emit(event) => self.emit(event),
                Effect::Commit(answer) => {
                    self.commits += 1;
                    let is_untold = answer.degraded || !answer.origin.is_model();
                    let untold = if is_untold { 1 + usize::from(self.events.is_empty()) } else { 0 };
                    assert_eq!(answer.last_seq as usize, self.events.len() + untold);
                }
                Effect::Infer { job, body, .. } => {
                    assert_eq!(body.prefix, self.generated, "a job continues what was seen");
                    assert!((1..=20).contains(&body.sampling.max_tokens));
                    assert!(!self.jobs.contains(&job), "every job has its own id");
                    self.jobs.push(job);
                }
                Effect::Judge(part, _) => {
                    assert!(!self.judged.contains(&part), "a part is judged once");
                    self.judged.push(part);
                }
                Effect::Recall(_) => self.looks += 1,
                Effect::Retrieve { .. } | Effect::Cancel(_) | Effect::Started { .. } => {}
            }
        }
    }

    fn emit(&mut self, event: TurnEvent) {
        assert!(!self.events.last().is_some_and(TurnEvent::is_last), "nothing follows the last event");
        match &event {
            TurnEvent::Retrieved { .. } => assert!(self.events.is_empty(), "retrieved comes first"),
            TurnEvent::Token { text, .. } => {
                self.text.push_str(text);
                self.generated.push_str(text);
            }
            TurnEvent::Aside { reasoning, .. } => {
                self.reasoning.push_str(reasoning);
                self.generated.push_str(reasoning);
            }
            TurnEvent::Finished { text, reasoning, .. } => {
                assert_eq!((text, reasoning), (&self.text, &self.reasoning));
                assert!(self.commits == 1 || self.generated.is_empty(), "stored before it is told");
            }
            TurnEvent::Failed(_) => {}
        }
        self.events.push(event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_order_of_inputs_gives_at_most_one_end_and_untorn_text(
        knowledge in any::<bool>(),
        inputs in prop::collection::vec((input(), 0u64..400), 0..60),
        accepted_first in prop::bool::weighted(0.9),
        falls_back in any::<bool>(),
        greets in prop::bool::weighted(0.1),
        recalls in any::<bool>(),
    ) {
        let reply = greets.then(|| Given { text: "Hi!".into(), citations: vec![], origin: Origin::Courtesy, degraded: false });
        let spec = Spec { fallback: falls_back.then_some(FALLBACK), reply, recalls, ..spec(knowledge) };
        let (mut turn, mut seen, mut now) = (Turn::new(spec), Seen::default(), 0);
        if accepted_first {
            seen.take(turn.on(Input::Accepted, Timestamp(0)));
        }
        for (input, pause) in inputs {
            now += pause;
            seen.take(turn.on(input, Timestamp(now)));
        }
        prop_assert!(seen.commits <= 1);
        prop_assert!(seen.looks <= 2 * usize::from(recalls && knowledge));
        prop_assert!(seen.jobs.len() <= MAX_RESTARTS as usize + 1);
        prop_assert_eq!(turn.is_done(), seen.events.last().is_some_and(TurnEvent::is_last));
        if accepted_first {
            seen.take(turn.on(Input::Tick, Timestamp(10_000)));
            seen.take(turn.on(Input::Committed, Timestamp(10_000)));
            prop_assert!(turn.is_done(), "the deadline ends every turn");
            let is_degraded = matches!(seen.events.last(), Some(TurnEvent::Finished { degraded: true, .. }));
            prop_assert!(!is_degraded || (falls_back && seen.text == FALLBACK.apology), "{:?}", seen.events);
            if let Some(TurnEvent::Finished { origin, text, .. }) = seen.events.last() {
                prop_assert!(*origin != Origin::Abstained || (knowledge && text == UNKNOWN && seen.jobs.is_empty()));
                prop_assert!(*origin != Origin::Cache || (recalls && seen.jobs.is_empty()));
                prop_assert!(*origin != Origin::Courtesy || (greets && text == "Hi!" && seen.jobs.is_empty()));
            }
        }
    }

    /// A perfect stream, its batches repeated, those of an older attempt and of a copy of the job mixed in: the answer is
    /// exactly the stream.
    #[test]
    fn repeats_and_older_attempts_change_nothing(
        pieces in prop::collection::vec("[a-z]{1,3}", 1..12),
        cuts in prop::collection::vec(1usize..4, 12),
        echoes in prop::collection::vec(0usize..4, 14),
    ) {
        let tokens = pieces.iter().map(|text| Event::token(text, 1));
        let usage = Usage { prompt_tokens: 9, completion_tokens: pieces.len() as u32 };
        let finished = Event::Finished { reason: FinishReason::Stop, usage };
        let events: Vec<Event> = tokens.chain([finished]).collect();
        let job = JobId::parse("job_1.g0").unwrap();
        let (mut batches, mut from) = (Vec::new(), 0);
        for cut in cuts {
            let to = (from + cut).min(events.len());
            let (seq, events) = (from as u64, events[from..to].to_vec());
            let reply = Reply { job: job.clone(), attempt: 1, delivery: 1, seq, events };
            batches.push(reply);
            from = to;
        }
        let (mut turn, mut seen) = (Turn::new(spec(false)), Seen::default());
        seen.take(turn.on(Input::Accepted, Timestamp(0)));
        for (n, batch) in batches.iter().enumerate() {
            seen.take(turn.on(Input::Reply(batch.clone()), Timestamp(1)));
            let older = Reply { attempt: 0, seq: 0, ..batches[n].clone() };
            seen.take(turn.on(Input::Reply(older), Timestamp(1)));
            let text = "X".to_string();
            let copy = Reply { delivery: 2, events: vec![Event::token(text, 1)], ..batches[n].clone() };
            seen.take(turn.on(Input::Reply(copy), Timestamp(1)));
            if let Some(back) = n.checked_sub(echoes[n]) {
                seen.take(turn.on(Input::Reply(batches[back].clone()), Timestamp(1)));
            }
        }
        seen.take(turn.on(Input::Committed, Timestamp(2)));
        if from == events.len() {
            prop_assert_eq!(&seen.text, &pieces.concat());
            let ended = matches!(seen.events.last(), Some(TurnEvent::Finished { usage: told, .. }) if *told == usage);
            prop_assert!(ended);
        }
        prop_assert_eq!(seen.jobs.len(), 1, "nothing was lost, so nothing is asked again");
    }
}

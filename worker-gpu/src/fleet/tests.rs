//! Two engines with a real, if tiny, model each.

use super::Fleet;
use crate::{
    candle::tests::tiny::Tiny,
    config::Config,
    driver::Sequence,
    engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats},
    open_all,
};
use protocol::{ChatMessage, Failure, InferenceJob, Priority, Role, Sampling, TenantId, Tools};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::timeout;

/// An engine whose numbers can be looked at from outside.
struct Watched {
    engine: Box<dyn Engine>,
    seen: Arc<Mutex<Stats>>,
}

impl Engine for Watched {
    fn model(&self) -> &str {
        self.engine.model()
    }
    fn capacity(&self) -> usize {
        self.engine.capacity()
    }
    fn context_tokens(&self) -> usize {
        self.engine.context_tokens()
    }
    fn add(&mut self, request: Request) -> Result<Admitted, Failure> {
        self.engine.add(request)
    }
    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let outputs = self.engine.step();
        *self.seen.lock().unwrap() = self.engine.stats();
        outputs
    }
    fn cancel(&mut self, id: SequenceId) {
        self.engine.cancel(id);
    }
    fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

/// A fleet on `["cpu", "cpu"]`, and what its engines have done.
fn fleet(max_sequences: usize) -> (Fleet, Vec<Arc<Mutex<Stats>>>) {
    let written = Tiny::exact("qwen3").write();
    let config = Config {
        engine: format!("candle:{}", written.path.display()),
        devices: vec!["cpu".into(), "cpu".into()],
        max_sequences,
        threads: 2,
        context_tokens: 256,
        ..Config::default()
    };
    let engines = open_all(&config, Path::new("/nowhere")).unwrap();
    let seen: Vec<Arc<Mutex<Stats>>> = engines.iter().map(|_| Arc::default()).collect();
    let watched = engines.into_iter().zip(&seen).enumerate().map(|(n, (engine, seen))| {
        let watched: Box<dyn Engine> = Box::new(Watched { engine, seen: seen.clone() });
        (format!("cpu:{n}"), watched)
    });
    (Fleet::start(watched.collect()).unwrap().0, seen)
}

fn job(messages: &[(Role, &str)], max_tokens: u32) -> InferenceJob {
    InferenceJob {
        messages: messages.iter().map(|(role, text)| ChatMessage::new(*role, *text)).collect(),
        prefix: String::new(),
        sampling: Sampling { max_tokens, ..Sampling::default() },
        priority: Priority::Interactive,
        weight: 1,
        tools: Tools::default(),
        thinking: None,
    }
}

async fn add(fleet: &Fleet, messages: &[(Role, &str)], max_tokens: u32) -> Sequence {
    fleet.add(TenantId::parse("acme").unwrap(), job(messages, max_tokens)).await.unwrap()
}

/// Reads an answer to its end.
async fn finish(mut sequence: Sequence) -> String {
    let mut text = String::new();
    loop {
        match timeout(Duration::from_secs(20), sequence.next()).await.unwrap().unwrap() {
            Output::Token { text: more, .. } => text += &more,
            Output::Finished { .. } => return text,
            Output::Started(_) | Output::Aside { .. } => {}
            Output::Failed(_, failure) => panic!("{failure}"),
        }
    }
}

fn prompts(seen: &[Arc<Mutex<Stats>>]) -> Vec<u64> {
    seen.iter().map(|stats| stats.lock().unwrap().prompt_tokens).collect()
}

#[tokio::test]
async fn sequences_spread_over_the_devices_and_say_the_same_on_each() {
    let (fleet, seen) = fleet(1);
    let question = [(Role::User, "the same question")];
    let (one, two) = (add(&fleet, &question, 20).await, add(&fleet, &question, 20).await);
    let (one, two) = tokio::join!(finish(one), finish(two));
    assert_eq!(one, two);
    assert!(prompts(&seen).iter().all(|tokens| *tokens > 0), "{seen:?}");
}

#[tokio::test]
async fn a_prompt_goes_to_the_device_that_has_its_beginning() {
    let (fleet, seen) = fleet(4);
    let topics = ["a question about an order that has not come yet", "a question about a bill that is too high now"];
    let mut answers = Vec::new();
    for topic in topics {
        // The other device is busier, so that each conversation has one of its own.
        let _busy = if answers.is_empty() { None } else { Some(add(&fleet, &[(Role::User, topics[0])], 200).await) };
        let _more = if answers.is_empty() { None } else { Some(add(&fleet, &[(Role::User, topics[0])], 200).await) };
        answers.push(finish(add(&fleet, &[(Role::User, topic)], 8).await).await);
    }
    let before: Vec<Stats> = seen.iter().map(|stats| *stats.lock().unwrap()).collect();
    assert!(before.iter().all(|stats| stats.prompt_tokens > 0), "{before:?}");
    for (device, topic) in topics.iter().enumerate() {
        let held = seen[device].lock().unwrap().prefix_tokens;
        let next = [(Role::User, *topic), (Role::Assistant, answers[device].as_str()), (Role::User, "and now?")];
        finish(add(&fleet, &next, 4).await).await;
        let found = seen[device].lock().unwrap().prefix_tokens - held;
        assert!(found >= 32, "device {device} found {found} tokens: {seen:?}");
    }
}

//! The gateway's own connection to the broker breaks, and its reply queue with it; the workers' connections hold.

use crate::support::{FakeWorker, Step, collect, eventually, finished, memory_store, message, node, tenant, text_of};
use actors::Config;
use runtime::{
    broker,
    testing::{Proxy, RabbitMq},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the first job of each turn says before its frames go to nobody, then what the others say.
fn script(asked: usize, prefix: &str) -> Vec<Step> {
    match (asked, prefix) {
        (0, _) => vec![Step::Vanish],
        (2, _) => vec![Step::Say("Press "), Step::Vanish],
        (_, "") => vec![Step::Say("Press "), Step::Say("reset.")],
        _ => vec![Step::Say("reset.")],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_frames_found_no_queue_asks_again_at_once() {
    let server = RabbitMq::start();
    let proxy = Proxy::start(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let steady = broker::connect(&server.url(), PATIENCE).await.unwrap();
    let asked = AtomicUsize::new(0);
    let script = move |job: &protocol::InferenceJob, _| script(asked.fetch_add(1, Ordering::Relaxed), &job.prefix);
    let worker = FakeWorker::start(steady, Box::new(script)).await;
    let config = Config::default();
    let store = memory_store(&config).await;
    let registry = node("node-cut", &broker::connect(&url, PATIENCE).await.unwrap(), &store, &config).await;
    let session = registry.create(&tenant()).await.unwrap().id;
    for (jobs, shown) in [(1, "before the first token"), (3, "after it")] {
        let mut stream = registry.submit(&tenant(), &session, message("How?", None)).await.unwrap();
        eventually(shown, || worker.jobs.lock().unwrap().len() == jobs).await;
        let events_before_the_cut = jobs.div_ceil(2);
        for _ in 0..events_before_the_cut {
            stream.next().await.unwrap();
        }
        proxy.cut();
        stream.skip_to(0);
        let events = collect(stream).await;
        assert_eq!(
            (finished(&events).0.as_str(), text_of(&events).as_str()),
            ("Press reset.", "Press reset."),
            "{shown}"
        );
    }
    assert_eq!(worker.jobs.lock().unwrap()[3].body.prefix, "Press ");
}

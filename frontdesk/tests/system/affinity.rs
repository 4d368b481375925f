//! A session goes back to the worker that has its past turns in the cache; a busy or dead worker costs little.

use crate::{
    client::Customer,
    distributed::Cluster,
    harness::{Frontdesk, cache, http},
};
use std::time::{Duration, Instant};

const TTL: Duration = Duration::from_millis(500);
const SLOW: &[&str] = &[
    "--set",
    "inference.engine=echo:?delay_ms=10",
    "--set",
    "retrieval.embedder=hashing:",
    "--set",
    "inference.affinity_ttl_ms=500",
    "--set",
    "inference.max_sequences=1",
    "--set",
    "inference.drain_ms=100",
];

/// The value of the metric whose line begins with `name`; 0 when there is none.
async fn metric(process: &Frontdesk, name: &str) -> f64 {
    let text = http().get(format!("{}/metrics", process.url)).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// Jobs that `worker` answered from its own queue, and from the shared one.
async fn answered(worker: &Frontdesk) -> [f64; 2] {
    let own = metric(worker, r#"frontdesk_settled_total{queue="q.inference.*",how="ack"}"#).await;
    [own, metric(worker, r#"frontdesk_settled_total{queue="q.inference",how="ack"}"#).await]
}

async fn affinity(gateway: &Frontdesk, result: &str) -> f64 {
    metric(gateway, &format!(r#"frontdesk_affinity_total{{result="{result}"}}"#)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_back_to_their_worker_and_leave_it_when_it_is_busy_or_dead() {
    let cluster = Cluster::start(SLOW);
    let (_retrieval, gateway) = (cluster.role("worker-retrieval", &[]).await, cluster.role("gateway", &[]).await);
    let mut first = cluster.role("worker-gpu", &[]).await;
    let customer = Customer::new(&gateway.url);
    let (session, other) = (customer.create().await, customer.create().await);
    customer.ask(&session, "one").await;
    customer.ask(&other, "one").await;
    let second = cluster.role("worker-gpu", &[]).await;
    for text in ["two", "three", "four"] {
        customer.ask(&session, text).await;
    }
    assert_eq!((answered(&first).await, answered(&second).await), ([3.0, 2.0], [0.0, 0.0]));
    assert_eq!(affinity(&gateway, "hit").await, 3.0);

    // Its worker has one slot, which another session takes for long.
    let mut long = customer.stream(&other, &"word ".repeat(1_000)).await;
    while long.next().await.unwrap().name != "token" {}
    let begin = Instant::now();
    customer.ask(&session, "five").await;
    assert!(begin.elapsed() >= TTL && begin.elapsed() < TTL * 6, "{:?}", begin.elapsed());
    assert_eq!((affinity(&gateway, "spill").await, answered(&second).await), (1.0, [0.0, 1.0]));
    customer.ask(&session, "six").await;
    assert_eq!(answered(&second).await, [1.0, 1.0], "the session has moved");

    first.process.kill();
    let (text, last) = long.finish(String::new()).await;
    assert!(last.data["text"].as_str().unwrap().ends_with(&text), "what it had begun goes on elsewhere");
    let _third = cluster.role("worker-gpu", &[]).await;
    drop(second);
    let begin = Instant::now();
    let answer = customer.ask(&session, "seven").await;
    assert!(answer["text"].as_str().unwrap().contains("seven"), "{answer}");
    assert!(begin.elapsed() < TTL * 6, "a killed worker costs {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_of_the_first_turn_has_it_in_the_cache() {
    let models = format!("models_dir={}", cache().join("models").display());
    let real = ["--set", "inference.engine=candle:SmolLM2-135M-Instruct.Q4_1.gguf", "--set", &models];
    let small =
        ["--set", "inference.cache_mib=128", "--set", "inference.threads=1", "--set", "session.answer_tokens=8"];
    let cluster = Cluster::start(&[&real[..], &small[..], &["--set", "retrieval.embedder=hashing:"]].concat());
    let (_retrieval, gateway) = (cluster.role("worker-retrieval", &[]).await, cluster.role("gateway", &[]).await);
    let workers = [cluster.role("worker-gpu", &[]).await, cluster.role("worker-gpu", &[]).await];
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    for question in ["What do you sell?", "And to whom?", "Since when?"] {
        customer.ask(&session, question).await;
    }
    assert_eq!(affinity(&gateway, "hit").await, 2.0);
    let mut prompts = [0.0; 2];
    let mut hits = [0.0; 2];
    for (n, worker) in workers.iter().enumerate() {
        prompts[n] = metric(worker, "vllm:prefix_cache_queries_total").await;
        hits[n] = metric(worker, "vllm:prefix_cache_hits_total").await;
    }
    let (one, other) = if prompts[0] > 0.0 { (0, 1) } else { (1, 0) };
    assert!(hits[one] >= 128.0 && prompts[other] == 0.0, "{hits:?} of {prompts:?} tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_in_good_order_costs_nothing() {
    let cluster = Cluster::start(SLOW);
    let (_retrieval, gateway) = (cluster.role("worker-retrieval", &[]).await, cluster.role("gateway", &[]).await);
    let patient = ["--set", "inference.affinity_ttl_ms=10000"];
    let mut first = cluster.role("worker-gpu", &patient).await;
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    customer.ask(&session, "one").await;
    let second = cluster.role("worker-gpu", &patient).await;
    first.process.stop(Duration::from_secs(10));
    let begin = Instant::now();
    customer.ask(&session, "two").await;
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    assert_eq!((affinity(&gateway, "gone").await, answered(&second).await), (1.0, [0.0, 1.0]));
}

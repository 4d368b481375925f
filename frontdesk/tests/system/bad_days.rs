//! What is missing, taken, broken or down.

use crate::{
    client::Customer,
    distributed::Cluster,
    harness::{ECHO, System, root},
};
use runtime::testing::free_port;
use std::{net::TcpListener, time::Duration};

fn fails(system: &System, role: &str, args: &[&str]) -> String {
    fails_on(free_port(), system, role, args)
}

fn fails_on(port: u16, system: &System, role: &str, args: &[&str]) -> String {
    let mut frontdesk = system.start_on(port, role, args);
    for _ in 0..300 {
        if let Some(status) = frontdesk.process.exited() {
            assert!(!status.success());
            return frontdesk.process.log();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("still running after 30 s:\n{}", frontdesk.process.log());
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = fails_on(address.port(), &System::new(ECHO), "all", &[]);
    assert!(error.contains("gateway.listen") && error.contains(&address.to_string()), "{error}");
}

#[test]
fn a_missing_or_altered_model_is_named_with_the_fix() {
    let system = System::new(&["--set", "retrieval.embedder=hashing:"]);
    let models = system.dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let setting = format!("models_dir={}", models.display());
    let error = fails(&system, "all", &["--set", &setting]);
    assert!(error.contains("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf") && error.contains("make models"), "{error}");

    let altered = std::fs::File::create(models.join("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")).unwrap();
    let error = fails(&system, "all", &["--set", &setting]);
    assert!(error.contains("1117320768") && error.contains("make models"), "the expected size: {error}");

    altered.set_len(1_117_320_768).unwrap();
    let error = fails(&system, "all", &["--set", &setting]);
    assert!(error.contains("cc324af070c2") && error.contains("make models"), "the expected hash: {error}");
}

#[test]
fn a_missing_embedder_is_named_with_the_fix() {
    let system = System::new(&["--set", "inference.engine=echo:"]);
    let error = fails(&system, "all", &["--set", &format!("models_dir={}", system.dir.path().display())]);
    assert!(error.contains("make models"), "{error}");
}

#[test]
fn a_broker_that_is_down_at_start_is_named() {
    let url = format!("broker.url=amqp://guest:s3cret@127.0.0.1:{}/%2f", free_port());
    let system = System::new(&["--set", &url, "--set", "broker.connect_timeout_ms=2000"]);
    let error = fails(&system, "worker-gpu", &["--set", "inference.engine=echo:"]);
    assert!(error.contains("broker.url") && error.contains("127.0.0.1"), "{error}");
    assert!(!error.contains("s3cret"), "the password stays out of logs: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_in_the_middle_of_turns_costs_only_time() {
    let mut cluster =
        Cluster::start(&["--set", "inference.engine=echo:?delay_ms=20", "--set", "retrieval.embedder=hashing:"]);
    let (_gpu, _retrieval) = (cluster.role("worker-gpu", &[]).await, cluster.role("worker-retrieval", &[]).await);
    let gateway = cluster.role("gateway", &[]).await;
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    let words: Vec<String> = (0..80).map(|number| format!("word{number}")).collect();
    let mut events = customer.stream(&session, &words.join(" ")).await;
    let mut seen = String::new();
    while !seen.contains("word3") {
        seen.push_str(events.next().await.expect("tokens").data["text"].as_str().unwrap_or_default());
    }
    cluster.rabbit.restart();
    let (seen, last) = events.finish(seen).await;
    assert_eq!(last.name, "finished", "{:?}\n{}", last.data, gateway.process.log());
    assert_eq!(last.data["text"], seen.as_str());
    for word in &words {
        assert_eq!(seen.split_whitespace().filter(|seen| seen == word).count(), 1, "{word} once in {seen:?}");
    }
    let next = customer.ask(&session, "still there?").await;
    assert!(next["text"].as_str().unwrap().contains("still there?"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_answered_with_what_to_mend() {
    let gateway =
        System::new(ECHO).start("all", &["--demo", root().join("deploy/demo").to_str().unwrap()]).ready().await;
    let customer = Customer::new(&gateway.url);
    let session = customer.create().await;
    for (content, code) in [(String::new(), "invalid_request"), ("long ".repeat(200_000), "payload_too_large")] {
        let answer = customer.post(&session, serde_json::json!({ "content": content }), "application/json").await;
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{body}");
    }
    let unknown = customer.post("ses_none", serde_json::json!({ "content": "hi" }), "application/json").await;
    assert_eq!(unknown.status(), 404);
}

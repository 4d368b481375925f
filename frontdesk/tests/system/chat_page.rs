//! The default language model and embedder on the demo tenant: by HTTP, and on the chat page in a real browser.

use crate::{
    client::Customer,
    harness::{Frontdesk, System, root},
};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use runtime::testing::{Process, free_port};
use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tenant_answers_with_citations_in_both_languages() {
    let system = System::new(&["--demo", root().join("deploy/demo").to_str().unwrap()]);
    let frontdesk = system.start("all", &[]).ready().await;
    loaded(&frontdesk).await;
    for (question, words) in
        [("如何重置密码?", ["忘记密码", "登录"]), ("How do I reset my password?", ["password", "["])]
    {
        cited_answer(&frontdesk, question, &words).await;
    }
    in_the_browser(&frontdesk).await;
}

/// Waits until the demo's documents are in the index.
async fn loaded(frontdesk: &Frontdesk) {
    let started = Instant::now();
    while !frontdesk.process.log().contains("demo-key") {
        assert!(started.elapsed() < Duration::from_secs(180), "not loaded:\n{}", frontdesk.process.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn cited_answer(frontdesk: &Frontdesk, question: &str, words: &[&str]) {
    let customer = Customer::with_key(&frontdesk.url, "demo-key");
    let session = customer.create().await;
    let events = customer.stream(&session, question).await;
    let (seen, last) = events.finish(String::new()).await;
    assert_eq!(last.name, "finished", "{:?}\n{}", last.data, frontdesk.process.log());
    assert_eq!(last.data["text"], seen.as_str());
    assert!(words.iter().all(|word| seen.contains(word)), "{seen}");
    let citations = last.data["citations"].as_array().unwrap();
    assert!(!citations.is_empty(), "cited: {}", last.data);
}

async fn in_the_browser(frontdesk: &Frontdesk) {
    let (browser, _driver, _profile) = browser().await;
    browser.goto(&format!("{}/?key=demo-key", frontdesk.url)).await.unwrap();
    let input = find(&browser, "composer-input").await;
    input.send_keys("How do I reset my password?").await.unwrap();
    find(&browser, "send").await.click().await.unwrap();
    let mut lengths = Vec::new();
    let started = Instant::now();
    loop {
        let answer = find(&browser, "message-assistant").await;
        let text = answer.text().await.unwrap_or_default();
        match answer.attr("data-state").await.unwrap_or_default().as_deref() {
            Some("done") => break,
            Some("failed") => panic!("failed: {text}\n{}", frontdesk.process.log()),
            _ => lengths.push(text.len()),
        }
        assert!(started.elapsed() < Duration::from_secs(180), "no answer yet: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lengths.dedup();
    assert!(lengths.len() > 3, "the text grew while it streamed: {lengths:?}");
    find(&browser, "citation").await.click().await.unwrap();
    // Which of the passages it was given a small model cites is left to it.
    let passage = shown(&browser, "citation-passage").await;
    assert!(passage.chars().count() > 20, "the cited passage is shown: {passage:?}");
    browser.close().await.unwrap();
}

/// The element's visible text, once there is some.
async fn shown(browser: &Client, testid: &str) -> String {
    let started = Instant::now();
    loop {
        let text = find(browser, testid).await.text().await.unwrap_or_default();
        if !text.trim().is_empty() || started.elapsed() > Duration::from_secs(10) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn find(browser: &Client, testid: &str) -> fantoccini::elements::Element {
    let selector = format!("[data-testid={testid}]");
    let wait = browser.wait().at_most(Duration::from_secs(30));
    wait.for_element(Locator::Css(&selector)).await.unwrap_or_else(|error| panic!("{selector}: {error}"))
}

async fn browser() -> (Client, Process, TempDir) {
    let (port, profile) = (free_port(), TempDir::new().unwrap());
    let mut command = Command::new("chromedriver");
    let driver =
        Process::start("chromedriver", command.arg(format!("--port={port}")), &profile.path().join("driver.log"));
    let profile_flag = format!("--user-data-dir={}", profile.path().display());
    let mut flags = vec!["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
    flags.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync", &profile_flag]);
    let capabilities = json!({ "goog:chromeOptions": { "args": flags } });
    let capabilities = capabilities.as_object().unwrap().clone();
    for _ in 0..100 {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        if let Ok(client) =
            builder.capabilities(capabilities.clone()).connect(&format!("http://127.0.0.1:{port}")).await
        {
            return (client, driver, profile);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("chromedriver (package chromium-driver) does not start:\n{}", driver.log());
}

//! Sessions and their messages.

use crate::{
    sse::Reader,
    stage::{Stage, refused},
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_lives_from_creation_to_deletion() {
    let stage = Stage::start().await;
    let response = stage.post("/v1/sessions", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_string();
    let created: Value = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/sessions/{}", created["id"].as_str().unwrap()));
    let seen: Value = stage.get(&location).send().await.unwrap().json().await.unwrap();
    assert_eq!((&seen["id"], &seen["messages"]), (&created["id"], &json!([])));
    let other = stage.client.get(stage.url(&location)).bearer_auth("key-b").send().await.unwrap();
    refused(other, 404, "session_not_found", None).await;
    let other = stage.client.delete(stage.url(&location)).bearer_auth("key-b").send().await.unwrap();
    refused(other, 404, "session_not_found", None).await;
    assert_eq!(stage.request(Method::DELETE, &location).send().await.unwrap().status(), 204);
    refused(stage.get(&location).send().await.unwrap(), 404, "session_not_found", None).await;
}

#[tokio::test]
async fn an_answer_streams_as_numbered_events_and_stays_in_the_history() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}", stage.session().await);
    let message = json!({"content": "tell", "client_message_id": "m1", "lang": "en"});
    let response = stage.post(&format!("{path}/messages"), &message).send().await.unwrap();
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-cache"));
    let events = Reader::new(response).rest().await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((names[0], names[1], names[names.len() - 1]), ("retrieved", "token", "finished"));
    let job = events[0].id.split_once(':').unwrap().0;
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event.id, format!("{job}:{seq}"));
        assert_eq!(event.json()["type"], event.name.as_str());
    }
    let last = events.last().unwrap().json();
    assert_eq!((&last["text"], &last["finish_reason"]), (&json!("Hello, 世界 [1]"), &json!("stop")));
    assert_eq!((&last["usage"]["completion_tokens"], &last["citations"][0]["document"]), (&json!(2), &json!("faq")));
    let history: Value = stage.get(&path).send().await.unwrap().json().await.unwrap();
    let said: Vec<_> = history["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(said, [json!("tell"), json!("Hello, 世界 [1]")]);
}

#[tokio::test]
async fn a_client_that_takes_only_json_gets_one_object() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let ask =
        |content: &str| stage.post(&path, &json!({"content": content})).header("accept", "application/json").send();
    let body: Value = ask("tell").await.unwrap().json().await.unwrap();
    assert_eq!((&body["text"], &body["finish_reason"]), (&json!("Hello, 世界 [1]"), &json!("stop")));
    assert!(
        body["id"].as_str().unwrap().starts_with("job_") && body["citations"].is_array() && body["usage"].is_object()
    );
    refused(ask("break").await.unwrap(), 502, "engine_failed", None).await;
}

#[tokio::test]
async fn a_failed_turn_is_an_event_of_its_stream() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let events = Reader::new(stage.post(&path, &json!({"content": "break"})).send().await.unwrap()).rest().await;
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), &last.json()["code"]), ("failed", &json!("engine_failed")));
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_resumes_after_the_last_event_seen() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let message = json!({"content": "count", "client_message_id": "m1"});
    let send = |last: Option<String>| {
        let request = stage.post(&path, &message);
        last.into_iter().fold(request, |request, id| request.header("last-event-id", id)).send()
    };
    let mut first = Reader::new(send(None).await.unwrap());
    let seen = [first.next().await.unwrap(), first.next().await.unwrap(), first.next().await.unwrap()];
    drop(first);
    let resumed = Reader::new(send(Some(seen[2].id.clone())).await.unwrap()).rest().await;
    let whole: String = seen.iter().chain(&resumed).filter(|e| e.name == "token").map(|e| text(&e.json())).collect();
    assert_eq!(whole, "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(resumed.last().unwrap().json()["text"], whole.as_str());

    let again = Reader::new(send(None).await.unwrap()).rest().await;
    assert_eq!(again.last(), resumed.last());
    let foreign = Reader::new(send(Some("job_other:1".into())).await.unwrap()).rest().await;
    assert_eq!(foreign, again);
    refused(send(Some("seven".into())).await.unwrap(), 400, "invalid_request", Some("Last-Event-ID")).await;
}

#[tokio::test]
async fn a_repeat_needs_no_slot_beside_the_turn_that_it_resumes() {
    let session = actors::Config::default();
    let stage = Stage::with_session(json!({}), json!({"concurrent_turns": 1}), session).await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    let send = |id: &str| stage.post(&path, &json!({"content": "count", "client_message_id": id})).send();
    let mut first = Reader::new(send("m1").await.unwrap());
    first.next().await.unwrap();
    drop(first);
    refused(send("m2").await.unwrap(), 429, "rate_limited", None).await;
    let events = Reader::new(send("m1").await.unwrap()).rest().await;
    assert_eq!(events.last().unwrap().json()["text"], "0 1 2 3 4 5 6 7 8 9 ");
}

fn text(event: &Value) -> String {
    event["text"].as_str().unwrap().to_string()
}

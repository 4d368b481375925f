//! Streams that are read again, and turns that are stopped.

use crate::{
    sse::{Event, Reader},
    stage::{Stage, refused},
};
use serde_json::{Value, json};

/// A session and the first events of its turn `hang` or `count`.
async fn begun(stage: &Stage, content: &str) -> (String, String, Reader) {
    let session = format!("/v1/sessions/{}", stage.session().await);
    let response = stage.post(&format!("{session}/messages"), &json!({"content": content})).send().await.unwrap();
    let mut reader = Reader::new(response);
    let mut event = reader.next().await.unwrap();
    while event.name != "token" {
        event = reader.next().await.unwrap();
    }
    (session, event.id, reader)
}

#[tokio::test]
async fn a_turn_is_stopped_by_its_session_or_its_name() {
    let mut stage = Stage::start().await;
    for named in [false, true] {
        let (session, id, reader) = begun(&stage, "hang").await;
        let turn = id.split_once(':').unwrap().0.to_string();
        let stop = |body: Option<Value>| {
            let request = stage.request(reqwest::Method::POST, &format!("{session}/stop"));
            body.into_iter().fold(request, |request, body| request.json(&body)).send()
        };
        assert_eq!(stop(Some(json!({"turn": "job_other"}))).await.unwrap().status(), 204);
        assert_eq!(stop(named.then(|| json!({"turn": turn}))).await.unwrap().status(), 204);
        let last = reader.rest().await.pop().unwrap().json();
        assert_eq!((&last["finish_reason"], &last["text"]), (&json!("cancelled"), &json!("well")));
        stage.cancelled("job_").await;
        let response = stage.post(&format!("{session}/stop"), &json!({"turn": 5})).send().await.unwrap();
        refused(response, 400, "invalid_request", Some("turn")).await;
    }
    let response = stage.post("/v1/sessions/ses_nobody/stop", &json!({})).send().await.unwrap();
    refused(response, 404, "session_not_found", None).await;
}

#[tokio::test]
async fn a_deadline_that_cannot_be_kept_is_named() {
    let stage = Stage::start().await;
    let path = format!("/v1/sessions/{}/messages", stage.session().await);
    for deadline in [0, 120_001] {
        let response = stage.post(&path, &json!({"content": "tell", "deadline_ms": deadline})).send().await.unwrap();
        let message = refused(response, 400, "invalid_request", Some("deadline_ms")).await;
        assert!(message.contains("1 to 120000"), "{message}");
    }
}

fn text(events: &[Event]) -> String {
    let tokens = events.iter().filter(|event| event.name == "token");
    tokens.map(|event| event.json()["text"].as_str().unwrap().to_string()).collect()
}

#[tokio::test]
async fn a_turn_is_read_from_any_place_on_by_any_number_of_readers() {
    let stage = Stage::start().await;
    let (session, id, first) = begun(&stage, "count").await;
    let (turn, seq) = id.rsplit_once(':').unwrap();
    let path = format!("{session}/turns/{turn}/events");
    let by_header = stage.get(&path).header("last-event-id", &id).send();
    // As a browser's `EventSource` does it, which can send no header of its own.
    let by_query = stage.client.get(stage.url(&format!("{path}?key=key-a&last_seq={seq}"))).send();
    let whole = stage.get(&path).send();
    let (by_header, by_query, whole) = tokio::join!(by_header, by_query, whole);
    let [by_header, by_query, whole] =
        [by_header, by_query, whole].map(|response| Reader::new(response.unwrap()).rest());
    let (rest, by_header, by_query, whole) = tokio::join!(first.rest(), by_header, by_query, whole);
    assert_eq!((&by_header, &by_query), (&rest, &rest));
    assert_eq!(text(&whole), "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(text(&whole[..=seq.parse::<usize>().unwrap()]) + &text(&rest), text(&whole));

    let last = &whole.last().unwrap().id;
    assert_eq!(stage.get(&path).header("last-event-id", last).send().await.unwrap().status(), 204);
    let again = Reader::new(stage.get(&path).send().await.unwrap()).rest().await;
    assert_eq!(again.last(), whole.last(), "the stored answer");
}

#[tokio::test]
async fn a_turn_that_is_not_there_cannot_be_read() {
    let stage = Stage::start().await;
    let (session, id, _reader) = begun(&stage, "hang").await;
    let path = format!("{session}/turns/{}/events", id.split_once(':').unwrap().0);
    for turn in ["job_other", "..%2f", "%20"] {
        let response = stage.get(&format!("{session}/turns/{turn}/events")).send().await.unwrap();
        refused(response, 404, "not_found", None).await;
    }
    let other = stage.client.get(stage.url(&path)).bearer_auth("key-b").send().await.unwrap();
    refused(other, 404, "session_not_found", None).await;
    refused(stage.client.get(stage.url(&path)).send().await.unwrap(), 401, "invalid_api_key", None).await;
    let response = stage.get(&format!("{path}?last_seq=x")).send().await.unwrap();
    refused(response, 400, "invalid_request", None).await;
}

//! From a server's stream of events to outputs.

use super::request::{Server, unreachable};
use crate::engine::{Output, Request, SequenceId};
use futures_util::StreamExt;
use protocol::{ErrorCode, Failure, FinishReason, Usage};
use reqwest::Response;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of the longest accepted line.
const LINE: usize = 1 << 20;

/// Asks the server and sends what it answers; the last output is `Finished` or `Failed`.
pub(super) async fn answer(server: Arc<Server>, request: Request, outputs: mpsc::Sender<Output>) {
    let id = request.id;
    let told = match server.ask(&request).await {
        Ok(response) => read(id, response, &outputs).await,
        Err(failure) => Err(failure),
    };
    let last = match told {
        Ok((reason, usage)) => Output::Finished { id, reason, usage },
        Err(failure) => Output::Failed(id, failure),
    };
    // Nobody listens only when the engine is gone.
    let _ = outputs.send(last).await;
}

async fn read(
    id: SequenceId,
    response: Response,
    outputs: &mpsc::Sender<Output>,
) -> Result<(FinishReason, Usage), Failure> {
    let mut bytes = response.bytes_stream();
    let (mut lines, mut heard) = (Lines::default(), Heard::default());
    while let Some(chunk) = bytes.next().await {
        lines.push(&chunk.map_err(|error| unreachable(&error))?)?;
        while let Some(line) = lines.next() {
            match heard.line(&line)? {
                Some(text) => {
                    let _ = outputs.send(Output::Token { id, text, tokens: 1 }).await;
                }
                None if heard.done => return heard.end(),
                None => {}
            }
        }
    }
    heard.end()
}

/// Cuts bytes into lines; a character is never cut, since a line's end is none of its bytes.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > LINE && !self.0.contains(&b'\n') {
            return Err(garbled("a line has no end"));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_string())
    }
}

/// What the stream has told so far.
#[derive(Default)]
struct Heard {
    reason: Option<FinishReason>,
    usage: Option<Usage>,
    pieces: u32,
    done: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}

impl Heard {
    /// Takes a line; returns the text that it adds.
    fn line(&mut self, line: &str) -> Result<Option<String>, Failure> {
        let Some(data) = line.strip_prefix("data:").map(str::trim_start) else {
            return Ok(None);
        };
        if data == "[DONE]" {
            self.done = true;
            return Ok(None);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| garbled("an event is no completion chunk"))?;
        if chunk.error.is_some() {
            return Err(Failure::new(ErrorCode::EngineFailed, "the inference server failed while it answered"));
        }
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(None);
        };
        if let Some(reason) = choice.finish_reason {
            self.reason = Some(if reason == "length" { FinishReason::Length } else { FinishReason::Stop });
        }
        let text = choice.delta.content.filter(|text| !text.is_empty());
        self.pieces += u32::from(text.is_some());
        Ok(text)
    }

    fn end(self) -> Result<(FinishReason, Usage), Failure> {
        let reason = self.reason.ok_or_else(|| garbled("the stream broke off"))?;
        // A server that does not count is taken to send one token at a time.
        let guess = Usage { prompt_tokens: 0, completion_tokens: self.pieces };
        Ok((reason, self.usage.unwrap_or(guess)))
    }
}

fn garbled(why: &'static str) -> Failure {
    tracing::warn!(why, "the inference server's answer cannot be used");
    Failure::new(ErrorCode::Unavailable, "the inference server's answer broke off; try again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_whole_however_the_bytes_come(text in "[a-z密码🙂]{0,9}", cut in 1usize..7) {
            let wire = format!("data: {text}\r\n\r\n: {text}\n");
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for bytes in wire.as_bytes().chunks(cut) {
                lines.push(bytes).unwrap();
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            let expected = [format!("data: {text}"), String::new(), format!(": {text}").trim_end().to_string()];
            prop_assert_eq!(found, expected.map(|line| line.trim_end().to_string()));
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; LINE]).is_ok());
        assert_eq!(lines.push(b"x").unwrap_err().code, ErrorCode::Unavailable);
    }

    #[test]
    fn what_a_stream_tells() {
        let mut heard = Heard::default();
        let mut line = |line: &str| heard.line(line);
        assert_eq!(line(": keep-alive"), Ok(None));
        assert_eq!(line(r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#), Ok(None));
        assert_eq!(line(r#"data: {"choices":[{"delta":{"content":"你"}}]}"#), Ok(Some("你".into())));
        assert_eq!(line(r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#), Ok(None));
        assert_eq!(
            line(r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}"#),
            Ok(None)
        );
        assert_eq!(line("data: [DONE]"), Ok(None));
        let usage = Usage { prompt_tokens: 3, completion_tokens: 9 };
        assert!(heard.done);
        assert_eq!(heard.end(), Ok((FinishReason::Length, usage)));
    }

    #[test]
    fn a_broken_stream_is_no_answer() {
        let mut heard = Heard::default();
        heard.line(r#"data: {"choices":[{"delta":{"content":"half"}}]}"#).unwrap();
        assert_eq!(heard.end().unwrap_err().code, ErrorCode::Unavailable);
        assert_eq!(Heard::default().line("data: {").unwrap_err().code, ErrorCode::Unavailable);
        let failed = Heard::default().line(r#"data: {"error":{"message":"CUDA out of memory"}}"#).unwrap_err();
        assert_eq!(failed.code, ErrorCode::EngineFailed);
    }
}

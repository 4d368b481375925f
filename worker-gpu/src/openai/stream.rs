//! From a server's stream of events to outputs.

use super::{calls::Besides, logprobs::Logprobs, refusal::unreachable, request::Server};
use crate::{
    engine::{Output, Request, SequenceId},
    text::{Shown, Speech},
};
use futures_util::{FutureExt, StreamExt};
use protocol::{Aside, ErrorCode, Failure, FinishReason, TokenLogprob, Usage};
use serde::Deserialize;
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::mpsc;

/// Bytes of the longest accepted line.
const LINE: usize = 1 << 20;

type Told = Result<(FinishReason, Usage), Failure>;

/// Asks the server and sends what it answers; the last output is `Finished` or `Failed`.
pub(super) async fn answer(server: Arc<Server>, request: Request, outputs: mpsc::Sender<Output>) {
    let last = last_of(request.id, tell(&server, &request, &outputs)).await;
    // Nobody listens only when the engine is gone.
    let _ = outputs.send(last).await;
}

/// A sequence that ended without its last output would hold its slot for ever, so a panic is one as well.
async fn last_of(id: SequenceId, told: impl Future<Output = Told>) -> Output {
    let told = AssertUnwindSafe(told).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("reading the inference server's answer panicked");
        Err(Failure::new(ErrorCode::EngineFailed, "the inference server's answer could not be read"))
    });
    match told {
        Ok((reason, usage)) => Output::Finished { id, reason, usage },
        Err(failure) => Output::Failed(id, failure),
    }
}

async fn tell(server: &Server, request: &Request, outputs: &mpsc::Sender<Output>) -> Told {
    let mut bytes = server.ask(request).await?.bytes_stream();
    let (mut lines, mut heard) = (Lines::default(), Heard::default());
    let mut said = Said { id: request.id, speech: Speech::new(&request.sampling.stop), stopped: false, outputs };
    while let Some(chunk) = bytes.next().await {
        lines.push(&chunk.map_err(|error| unreachable(&error))?)?;
        while let Some(line) = lines.next() {
            let piece = heard.line(&line)?;
            if heard.done || (said.stopped && piece.is_some()) {
                return said.end(heard).await;
            }
            if let Some(piece) = piece {
                said.add(piece).await;
            }
        }
    }
    said.end(heard).await
}

/// What is passed on of an answer. Servers differ in whether they leave a stop string in the text (TGI does), or look
/// for it at all; after one, only the counts are waited for.
struct Said<'a> {
    id: SequenceId,
    speech: Speech,
    stopped: bool,
    outputs: &'a mpsc::Sender<Output>,
}

impl Said<'_> {
    async fn add(&mut self, piece: Piece) {
        if let Some(aside) = piece.aside {
            // Nobody listens only when the engine is gone.
            let _ = self.outputs.send(Output::Aside { id: self.id, aside }).await;
        }
        if piece.text.is_empty() && piece.logprobs.is_empty() {
            return;
        }
        // Tokens without text have begun a character.
        let shown = self.speech.push(&piece.text, piece.text.is_empty(), piece.logprobs);
        self.stopped = shown.stopped;
        self.send(shown, 1).await;
    }

    async fn end(mut self, mut heard: Heard) -> Told {
        if self.stopped {
            heard.reason = Some(FinishReason::Stop);
        }
        let told = heard.end()?;
        let held = self.speech.finish();
        if !held.text.is_empty() || !held.logprobs.is_empty() {
            self.send(held, 0).await;
        }
        Ok(told)
    }

    async fn send(&self, shown: Shown, tokens: u32) {
        let Shown { text, logprobs, .. } = shown;
        // Nobody listens only when the engine is gone.
        let _ = self.outputs.send(Output::Token { id: self.id, text, tokens, logprobs }).await;
    }
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
    /// Calls that have begun.
    calls: u32,
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
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
    #[serde(flatten)]
    besides: Besides,
}

/// What a line adds to the answer; not nothing.
#[derive(Debug, PartialEq, Default)]
struct Piece {
    text: String,
    logprobs: Vec<TokenLogprob>,
    aside: Option<Aside>,
}

impl Heard {
    /// Takes a line; returns what it adds.
    fn line(&mut self, line: &str) -> Result<Option<Piece>, Failure> {
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
            self.reason = Some(finish_reason(&reason)?);
        }
        let aside = choice.delta.besides.read(&mut self.calls);
        let text = choice.delta.content.unwrap_or_default();
        let mut logprobs = choice.logprobs.map(Logprobs::read).unwrap_or_default();
        if self.reason == Some(FinishReason::Stop) && text.is_empty() {
            // vLLM tells of the token that ends the answer, which is no part of it.
            logprobs.clear();
        }
        let is_piece = !text.is_empty() || !logprobs.is_empty() || aside.is_some();
        self.pieces += u32::from(is_piece);
        Ok(is_piece.then_some(Piece { text, logprobs, aside }))
    }

    fn end(self) -> Result<(FinishReason, Usage), Failure> {
        let reason = self.reason.ok_or_else(|| garbled("the stream broke off"))?;
        // A server that does not count is taken to send one token at a time.
        let guess = Usage { prompt_tokens: 0, completion_tokens: self.pieces };
        Ok((reason, self.usage.unwrap_or(guess)))
    }
}

/// Whatever a server calls a regular end is one; only its own failure must not pass for a whole answer.
fn finish_reason(reason: &str) -> Result<FinishReason, Failure> {
    match reason {
        "length" => Ok(FinishReason::Length),
        "tool_calls" | "function_call" => Ok(FinishReason::ToolCalls),
        "abort" | "error" => Err(Failure::new(ErrorCode::EngineFailed, "the inference server gave the answer up")),
        _ => Ok(FinishReason::Stop),
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
        assert_eq!(
            line(r#"data: {"choices":[{"delta":{"content":"你"}}]}"#),
            Ok(Some(Piece { text: "你".into(), ..Piece::default() }))
        );
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
        let aborted = Heard::default().line(r#"data: {"choices":[{"delta":{},"finish_reason":"abort"}]}"#).unwrap_err();
        assert_eq!(aborted.code, ErrorCode::EngineFailed);
        assert_eq!(finish_reason("eos_token"), Ok(FinishReason::Stop));
    }

    #[tokio::test]
    async fn a_panic_ends_the_sequence() {
        let id = SequenceId(7);
        let last = last_of(id, async { panic!("a test") }).await;
        assert!(matches!(last, Output::Failed(failed, why) if failed == id && why.code == ErrorCode::EngineFailed));
    }
}

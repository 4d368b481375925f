//! Section `[session]` of the configuration.

use protocol::topology;
use runtime::config::Problem;
use serde::{Deserialize, Serialize};

/// How sessions and their turns are run; section `[session]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where sessions are kept: `memory:` or `redis://host:port/db` (`rediss://` with TLS).
    pub store: String,
    /// A node that does not renew its lease for this many milliseconds loses its sessions to others; it renews it three times
    /// in this time.
    pub lease_ms: u64,
    /// A turn fails when it has not ended after this many milliseconds.
    pub turn_deadline_ms: u64,
    /// A turn does without retrieval when that has not answered after this many milliseconds.
    pub retrieval_deadline_ms: u64,
    /// A turn does without the model when its first token has not come after this many milliseconds; 0: it waits until
    /// `turn_deadline_ms`.
    pub first_token_deadline_ms: u64,
    /// A job that is not begun after this many milliseconds counts against the engine; 0: the time does not matter.
    pub breaker_queue_wait_ms: u64,
    /// A first token that has not come after this many milliseconds counts against the engine; 0: the time does not matter.
    pub breaker_first_token_ms: u64,
    /// For about this many milliseconds an engine, or retrieval, that is too slow or fails is left alone; 0: it never is.
    pub breaker_open_ms: u64,
    /// Inference jobs of this node that may await their start in the queue, at least; the others wait for their tenant's turn.
    /// 0: all of them may.
    pub publish_window: usize,
    /// Inference jobs of one tenant that wait for their turn at this node; one more is refused.
    pub tenant_waiting: usize,
    /// A curated answer is given at once, without the model, that answers the question at least this likely (0 to 1; above 1:
    /// none is).
    pub faq_confidence: f32,
    /// The same while the model is out of reach.
    pub faq_fallback_confidence: f32,
    /// When it is less likely than this (0 to 1) that what was found answers the question, the assistant says that it does not
    /// know; 0: it always asks the model.
    pub abstain_below: f32,
    /// A stream that pauses for this many milliseconds after its first token is taken up by another attempt.
    pub stall_ms: u64,
    /// For this many milliseconds a session's next turn goes to the worker of the last one, which has it in the cache; 0: to
    /// any worker.
    pub affinity_ms: u64,
    /// A session leaves memory after this many milliseconds without a request.
    pub idle_ms: u64,
    /// A turn is cancelled when nobody has read it for this many milliseconds.
    pub abandon_grace_ms: u64,
    /// Requests that wait for one session's actor.
    pub mailbox: usize,
    /// Messages of one session that wait while a turn runs.
    pub pending_messages: usize,
    /// Session actors in memory.
    pub max_sessions: usize,
    /// Sessions that the store `memory:` keeps; beyond, the oldest one without messages goes, or else new ones are refused.
    pub max_stored: usize,
    /// Messages kept per session; the oldest go first.
    pub history_messages: usize,
    /// Bytes of messages and their citations kept per session; the oldest go first, the last answer always stays.
    pub history_bytes: usize,
    /// The store drops a session this many milliseconds after its last change.
    pub retention_ms: u64,
    /// Threads that run session actors.
    pub arbiters: usize,
    /// Longest prompt in (estimated) tokens.
    pub prompt_tokens: u32,
    /// Longest answer in tokens, unless a call asks for another length.
    pub answer_tokens: u32,
    /// Longest answer in tokens that a call may ask for.
    pub max_answer_tokens: u32,
    /// Passages asked for per question.
    pub passages: u16,
    /// Longest message in bytes.
    pub message_bytes: usize,
    /// Where answers are kept for those who ask the same: `store` (where sessions are), `memory:`, `redis://host:port/db`, or
    /// `off`.
    pub answer_cache: String,
    /// A kept answer is forgotten after this many milliseconds.
    pub answer_cache_ttl_ms: u64,
    /// Answers kept per tenant; the oldest go first.
    pub answer_cache_entries: usize,
    /// A question that is at least as similar to an earlier one (cosine, 0 to 1; above 1: none is) may have its answer.
    pub answer_cache_similarity: f32,
    /// Which version of a tenant's knowledge is served must have been confirmed within this many milliseconds, or a question
    /// is looked up before its answer is given again.
    pub answer_cache_version_age_ms: u64,
    /// A turn does without the cache when that has not answered after this many milliseconds.
    pub answer_cache_patience_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: "memory:".into(),
            lease_ms: 6_000,
            turn_deadline_ms: 120_000,
            retrieval_deadline_ms: 5_000,
            first_token_deadline_ms: 10_000,
            breaker_queue_wait_ms: 2_000,
            breaker_first_token_ms: 2_000,
            breaker_open_ms: 5_000,
            publish_window: 4,
            tenant_waiting: 1_000,
            faq_confidence: 0.9,
            faq_fallback_confidence: 0.6,
            abstain_below: 0.5,
            stall_ms: 30_000,
            affinity_ms: 600_000,
            idle_ms: 600_000,
            abandon_grace_ms: 10_000,
            mailbox: 32,
            pending_messages: 4,
            max_sessions: 100_000,
            max_stored: 100_000,
            history_messages: 400,
            history_bytes: 256 * 1024,
            retention_ms: 30 * 24 * 3600 * 1000,
            arbiters: 2,
            prompt_tokens: 3000,
            answer_tokens: 512,
            max_answer_tokens: 4096,
            passages: 5,
            message_bytes: 32 * 1024,
            answer_cache: "store".into(),
            answer_cache_ttl_ms: 24 * 3600 * 1000,
            answer_cache_entries: 2_048,
            answer_cache_similarity: 0.95,
            answer_cache_version_age_ms: 30_000,
            answer_cache_patience_ms: 20,
        }
    }
}

impl Config {
    /// What is wrong with the values, if anything; the keys begin with `session.`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.answer_cache_problems();
        if !["memory:", "redis://", "rediss://"].iter().any(|scheme| self.store.starts_with(scheme)) {
            problems.push(Problem::new(
                "session.store",
                runtime::config::redact(&self.store),
                "memory: or redis://host:port/db",
            ));
        }
        for (key, value, min, max) in self.ranges() {
            if !(min..=max).contains(&value) {
                problems.push(Problem::new(&format!("session.{key}"), value, format!("{min} to {max}")));
            }
        }
        let likely = [
            ("faq_confidence", self.faq_confidence, 2.0, "0 to 1, or 2 for never"),
            ("faq_fallback_confidence", self.faq_fallback_confidence, 2.0, "0 to 1, or 2 for never"),
            ("abstain_below", self.abstain_below, 1.0, "0 to 1"),
        ];
        for (key, value, most, expected) in likely {
            if !(0.0..=most).contains(&value) {
                problems.push(Problem::new(&format!("session.{key}"), value, expected));
            }
        }
        problems
    }

    fn answer_cache_problems(&self) -> Vec<Problem> {
        let (url, similarity, mut problems) = (&self.answer_cache, self.answer_cache_similarity, Vec::new());
        let is_known = ["memory:", "redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_known && !["store", "off"].contains(&url.as_str()) {
            let (given, expected) = (runtime::config::redact(url), "store, off, memory: or redis://host:port/db");
            problems.push(Problem::new("session.answer_cache", given, expected));
        }
        if !(0.5..=2.0).contains(&similarity) {
            problems.push(Problem::new("session.answer_cache_similarity", similarity, "0.5 to 1, or 2 for never"));
        }
        problems
    }

    /// Where answers are kept, if they are.
    pub fn answer_cache_url(&self) -> Option<&str> {
        match self.answer_cache.as_str() {
            "off" => None,
            "store" => Some(&self.store),
            url => Some(url),
        }
    }

    fn ranges(&self) -> [(&'static str, u64, u64, u64); 30] {
        const DAY: u64 = 24 * 3600 * 1000;
        [
            ("lease_ms", self.lease_ms, 300, 3_600_000),
            ("turn_deadline_ms", self.turn_deadline_ms, 100, DAY),
            ("retrieval_deadline_ms", self.retrieval_deadline_ms, 1, DAY),
            ("first_token_deadline_ms", self.first_token_deadline_ms, 0, DAY),
            ("breaker_queue_wait_ms", self.breaker_queue_wait_ms, 0, DAY),
            ("breaker_first_token_ms", self.breaker_first_token_ms, 0, DAY),
            ("breaker_open_ms", self.breaker_open_ms, 0, DAY),
            ("publish_window", self.publish_window as u64, 0, 1_000),
            ("tenant_waiting", self.tenant_waiting as u64, 1, 100_000),
            ("stall_ms", self.stall_ms, 10, DAY),
            ("affinity_ms", self.affinity_ms, 0, topology::AFFINITY_MAX_AGE_MS),
            ("idle_ms", self.idle_ms, 10, DAY),
            ("abandon_grace_ms", self.abandon_grace_ms, 0, DAY),
            ("mailbox", self.mailbox as u64, 1, 65_536),
            ("pending_messages", self.pending_messages as u64, 0, 1_000),
            ("max_sessions", self.max_sessions as u64, 1, 100_000_000),
            ("max_stored", self.max_stored as u64, 1, 100_000_000),
            ("history_messages", self.history_messages as u64, 2, 100_000),
            ("history_bytes", self.history_bytes as u64, 1024, 1 << 30),
            ("retention_ms", self.retention_ms, 1_000, 3_650 * DAY),
            ("arbiters", self.arbiters as u64, 1, 256),
            ("prompt_tokens", u64::from(self.prompt_tokens), 512, 1_000_000),
            ("answer_tokens", u64::from(self.answer_tokens), 1, u64::from(self.max_answer_tokens)),
            ("max_answer_tokens", u64::from(self.max_answer_tokens), 1, 1_000_000),
            ("passages", u64::from(self.passages), 1, 50),
            ("message_bytes", self.message_bytes as u64, 1, 1 << 20),
            ("answer_cache_ttl_ms", self.answer_cache_ttl_ms, 1_000, 30 * DAY),
            ("answer_cache_entries", self.answer_cache_entries as u64, 1, 100_000),
            ("answer_cache_version_age_ms", self.answer_cache_version_age_ms, 0, DAY),
            ("answer_cache_patience_ms", self.answer_cache_patience_ms, 1, 10_000),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(Config::default().problems(), []);
    }

    #[test]
    fn a_problem_names_its_key_and_what_was_expected() {
        let config = Config { store: "mysql://x".into(), arbiters: 0, ..Config::default() };
        let told: Vec<String> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "session.store = mysql://x: expected memory: or redis://host:port/db",
                "session.arbiters = 0: expected 1 to 256"
            ]
        );
    }
}

//! Every metric's name, kind, unit and labels, in one place.
//!
//! Engine metrics take the names that dashboards for inference servers expect (`vllm:*`), the rest begin with
//! `frontdesk_`. Labels never hold a session, a customer or a text.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Turns by `tenant` and `outcome` (`stop`, `length`, `cancelled` or an error code).
pub const TURNS: &str = "frontdesk_turns_total";
/// Seconds from a message's acceptance to its first token.
pub const TURN_FIRST_TOKEN: &str = "frontdesk_turn_first_token_seconds";
/// Seconds from a message's acceptance to its last event.
pub const TURN_DURATION: &str = "frontdesk_turn_duration_seconds";
/// Turns that run now.
pub const TURNS_RUNNING: &str = "frontdesk_turns_running";
/// Session actors in memory.
pub const SESSIONS_ACTIVE: &str = "frontdesk_sessions_active";
/// Sessions that left memory for the store.
pub const SESSIONS_PASSIVATED: &str = "frontdesk_sessions_passivated_total";
/// Sessions with unanswered messages that were taken over from a node that died or left, by `why` (`dead`).
pub const SESSIONS_TAKEN_OVER: &str = "frontdesk_sessions_taken_over_total";
/// Times this node lost its lease and gave all its sessions up.
pub const LEASES_LOST: &str = "frontdesk_leases_lost_total";
/// Writes to the session store that were refused because another node owns the session.
pub const STALE_WRITES: &str = "frontdesk_stale_writes_refused_total";
/// Requests that were sent on to the node that owns their session.
pub const FORWARDED: &str = "frontdesk_forwarded_total";
/// 1 while the circuit breaker of a `tenant` and an `engine` is open, 0.5 while it probes, else 0.
pub const BREAKER: &str = "frontdesk_breaker_open";
/// Times a circuit breaker opened, by `tenant`, `engine` and `why` (`queue_wait`, `first_token`, `failed`).
pub const BREAKER_OPENED: &str = "frontdesk_breaker_opened_total";
/// Turns that were answered without the model, by `tenant` and `with` (`faq`, `apology`).
pub const DEGRADED: &str = "frontdesk_degraded_total";
/// Inference jobs that wait for their tenant's turn at this node.
pub const GATE_WAITING: &str = "frontdesk_gate_waiting";
/// Tokens charged to tenants' quotas, by `tenant` and `kind` (`prompt`, `completion`).
pub const TENANT_TOKENS: &str = "frontdesk_tenant_tokens_total";
/// 1 while quotas are kept by this node alone, since the store of quotas does not answer.
pub const LIMITS_LOCAL: &str = "frontdesk_limits_local";
/// Readers that were cut since they took nothing for too long, by `over` (`sse`, `websocket`).
pub const READERS_CUT: &str = "frontdesk_readers_cut_total";
/// Requests that went straight to an inference server, by `model` and `status`.
pub const PASSED_THROUGH: &str = "frontdesk_passed_through_total";
/// Dead letters in the queue.
pub const DEAD_LETTERS: &str = "frontdesk_dead_letters";
/// HTTP requests by `route`, `method` and `status`.
pub const HTTP_REQUESTS: &str = "frontdesk_http_requests_total";
/// Seconds until an HTTP response's first byte, by `route`.
pub const HTTP_DURATION: &str = "frontdesk_http_request_duration_seconds";
/// Requests refused for want of quota or capacity, by `tenant` and `code`.
pub const REFUSED: &str = "frontdesk_refused_total";
/// Jobs that were sent to the worker of a session's last turn, by `result`: `hit` (it took the job), `spill` (another one did),
/// `gone` (it takes no jobs any more).
pub const AFFINITY: &str = "frontdesk_affinity_total";
/// Messages published, by `queue` and `result` (`ok`, `full`, `too_large`, `unroutable`, `unavailable`).
pub const PUBLISHED: &str = "frontdesk_published_total";
/// Deliveries settled, by `queue` and `how` (`ack`, `requeue`, `dead_letter`).
pub const SETTLED: &str = "frontdesk_settled_total";
/// Times the connection to the broker was renewed.
pub const RECONNECTS: &str = "frontdesk_broker_reconnects_total";
/// Seconds a retrieval took, by `stage` (`embed`, `search`).
pub const RETRIEVAL_DURATION: &str = "frontdesk_retrieval_duration_seconds";
/// Passages in the index, by `tenant`.
pub const PASSAGES: &str = "frontdesk_passages";
/// Answers, by `tenant`, `origin` (see `protocol::Origin`) and what a model's answer `cites` (`passages`, `nothing`).
pub const ANSWERS: &str = "frontdesk_answers_total";
/// Looks into the answer cache, by `result` (`exact`, `semantic`, `waited` for the same question's answer, `refused` since
/// what was found rests on other passages, `miss`, `unavailable`).
pub const CACHE_LOOKUPS: &str = "frontdesk_answer_cache_lookups_total";
/// Answers in the answer cache of this process.
pub const CACHE_ENTRIES: &str = "frontdesk_answer_cache_entries";
/// Questions that the knowledge did not answer, by `tenant`.
pub const UNANSWERED: &str = "frontdesk_questions_unanswered_total";
/// The version that a tenant is served from, by `tenant`.
pub const KNOWLEDGE_SERVED: &str = "frontdesk_knowledge_version";
/// Versions published, by `result` (`ok`, `failed`).
pub const KNOWLEDGE_PUBLISHED: &str = "frontdesk_knowledge_published_total";
/// Searches answered without the search index since it did not answer, by `why`.
pub const INDEX_MISSED: &str = "frontdesk_search_index_missed_total";
/// Documents ingested, by `result` (`ok`, `failed`).
pub const INGESTED: &str = "frontdesk_documents_ingested_total";
/// 1 while a `device` of a GPU worker works, 0 once it has failed. The engine's metrics below have this label, too, where they tell
/// of one engine.
pub const DEVICE_UP: &str = "frontdesk_device_up";
/// Sequences in the running batch.
pub const ENGINE_RUNNING: &str = "vllm:num_requests_running";
/// Sequences that wait for a slot.
pub const ENGINE_WAITING: &str = "vllm:num_requests_waiting";
/// Share of the KV cache in use, 0 to 1.
pub const ENGINE_CACHE: &str = "vllm:kv_cache_usage_perc";
/// Tokens of the prompts that were started.
pub const ENGINE_PREFIX_QUERIES: &str = "vllm:prefix_cache_queries_total";
/// Those of them that were in the prefix cache.
pub const ENGINE_PREFIX_HITS: &str = "vllm:prefix_cache_hits_total";
/// Sequences that had to give their KV blocks to others for a while.
pub const ENGINE_PREEMPTIONS: &str = "vllm:num_preemptions_total";
/// Seconds from a job's publication to its admission into the batch.
pub const ENGINE_QUEUE: &str = "vllm:request_queue_time_seconds";
/// Seconds from a job's intake to its first token.
pub const ENGINE_FIRST_TOKEN: &str = "vllm:time_to_first_token_seconds";
/// Seconds between two tokens of a sequence.
pub const ENGINE_PER_TOKEN: &str = "vllm:time_per_output_token_seconds";
/// Tokens prefilled.
pub const ENGINE_PROMPT_TOKENS: &str = "vllm:prompt_tokens_total";
/// Tokens generated.
pub const ENGINE_GENERATED_TOKENS: &str = "vllm:generation_tokens_total";

const COUNTERS: &[(&str, &str)] = &[
    (TURNS, "Turns by tenant and outcome"),
    (SESSIONS_PASSIVATED, "Sessions that left memory for the store"),
    (
        SESSIONS_TAKEN_OVER,
        "Sessions with unanswered messages taken over by why (dead: their node, unheard: this node's own claim)",
    ),
    (LEASES_LOST, "Times this node lost its lease"),
    (STALE_WRITES, "Writes refused because another node owns the session"),
    (FORWARDED, "Requests sent on to the node that owns their session"),
    (BREAKER_OPENED, "Times a circuit breaker opened by tenant, engine and why"),
    (DEGRADED, "Turns answered without the model by tenant and with"),
    (TENANT_TOKENS, "Tokens charged to tenants' quotas by tenant and kind"),
    (READERS_CUT, "Readers cut since they took nothing for too long by over"),
    (PASSED_THROUGH, "Requests that went straight to an inference server by model and status"),
    (HTTP_REQUESTS, "HTTP requests by route, method and status"),
    (REFUSED, "Requests refused for want of quota or capacity by tenant and code"),
    (AFFINITY, "Jobs sent to the worker of a session's last turn by result"),
    (PUBLISHED, "Messages published by queue and result"),
    (SETTLED, "Deliveries settled by queue and how"),
    (RECONNECTS, "Times the connection to the broker was renewed"),
    (INGESTED, "Documents ingested by result"),
    (ANSWERS, "Answers by tenant, origin and what they cite"),
    (CACHE_LOOKUPS, "Looks into the answer cache by result"),
    (UNANSWERED, "Questions that the knowledge did not answer by tenant"),
    (KNOWLEDGE_PUBLISHED, "Versions of knowledge published by result"),
    (INDEX_MISSED, "Searches answered without the search index by why"),
    (ENGINE_PROMPT_TOKENS, "Tokens prefilled"),
    (ENGINE_PREFIX_QUERIES, "Tokens of the prompts that were started"),
    (ENGINE_PREFIX_HITS, "Tokens of prompts that were in the prefix cache"),
    (ENGINE_PREEMPTIONS, "Sequences that had to give their KV blocks to others"),
    (ENGINE_GENERATED_TOKENS, "Tokens generated"),
];
const GAUGES: &[(&str, &str)] = &[
    (TURNS_RUNNING, "Turns that run now"),
    (SESSIONS_ACTIVE, "Session actors in memory"),
    (BREAKER, "Whether the circuit breaker of a tenant and an engine is open"),
    (GATE_WAITING, "Inference jobs that wait for their tenant's turn at this node"),
    (LIMITS_LOCAL, "Whether quotas are kept by this node alone"),
    (DEAD_LETTERS, "Dead letters in the queue"),
    (PASSAGES, "Passages in the index by tenant"),
    (CACHE_ENTRIES, "Answers in the answer cache"),
    (KNOWLEDGE_SERVED, "The version of its knowledge that a tenant is served from"),
    (DEVICE_UP, "Whether a GPU worker's device works"),
    (ENGINE_RUNNING, "Sequences in the running batch"),
    (ENGINE_WAITING, "Sequences that wait for a slot"),
    (ENGINE_CACHE, "Share of the KV cache in use, 0 to 1"),
];
const HISTOGRAMS: &[(&str, &str)] = &[
    (TURN_FIRST_TOKEN, "Seconds from acceptance to the first token"),
    (TURN_DURATION, "Seconds from acceptance to the last event"),
    (HTTP_DURATION, "Seconds until a response's first byte by route"),
    (RETRIEVAL_DURATION, "Seconds a retrieval took by stage"),
    (ENGINE_QUEUE, "Seconds from publication to admission into the batch"),
    (ENGINE_FIRST_TOKEN, "Seconds from intake to the first token"),
    (ENGINE_PER_TOKEN, "Seconds between two tokens of a sequence"),
];
const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Installs the process's one recorder and describes every metric; render the handle for `/metrics`.
///
/// Fails when a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?;
    let handle = builder.install_recorder()?;
    COUNTERS.iter().for_each(|(name, help)| describe_counter!(*name, *help));
    GAUGES.iter().for_each(|(name, help)| describe_gauge!(*name, *help));
    HISTOGRAMS.iter().for_each(|(name, help)| describe_histogram!(*name, Unit::Seconds, *help));
    Ok(handle)
}

//! What `frontdesk bench` takes.

use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// Measures a part of the system.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Measures the engine, and beside it a peer under the same load
    Engine(EngineBench),
    /// Compares the engine's greedy answers with a peer's on the same model
    Parity(ParityBench),
    /// Measures the search index and the embedder, and beside them a Meilisearch
    Retrieval(RetrievalBench),
    /// Measures a running gateway under load, and beside it a proxy under the same load
    Turns(TurnsBench),
    /// Serves a model that echoes, for what lies before it to be measured
    Echo(EchoBench),
}

/// Measures the engine.
#[derive(Debug, Clone, Args)]
pub struct EngineBench {
    /// The engine, as in inference.engine; the configured one when absent
    #[arg(long, value_name = "ENGINE")]
    pub model: Option<String>,
    /// Tokens of each prompt
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub prompt: u32,
    /// Tokens of each answer
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    pub generate: u32,
    /// Sequences at once, one measurement for each number
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 4, 8, 16],
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub sequences: Vec<u16>,
    /// Tokens of the first prompt of a session whose second turn is measured; 0: leave that out
    #[arg(long, value_name = "TOKENS", default_value_t = 600)]
    pub session: u32,
    /// Measures everything this often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Puts the same load to this server, in turns with the engine
    #[arg(long, value_name = "OPENAI BASE URL")]
    pub against: Option<String>,
    /// The server's name of its model; the first one that it lists when absent
    #[arg(long, value_name = "NAME", requires = "against")]
    pub against_model: Option<String>,
    /// The server's process, if it runs on this machine, for its processor time
    #[arg(long, value_name = "PID", requires = "against")]
    pub against_pid: Option<u32>,
    /// Also writes every single measurement there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Measures retrieval.
#[derive(Debug, Clone, Args)]
pub struct RetrievalBench {
    /// Passages of the index, one measurement for each number
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [10_000, 100_000])]
    pub passages: Vec<usize>,
    /// Questions of each measurement
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub questions: usize,
    /// Texts that are embedded to measure the embedder
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub texts: usize,
    /// Measures the same passages there: a Meilisearch binary, which is started, or a server's URL
    #[arg(long, value_name = "BINARY OR URL")]
    pub meilisearch: Option<String>,
    /// The server's master key
    #[arg(long, env = "MEILI_MASTER_KEY", hide_env_values = true)]
    pub meilisearch_key: Option<String>,
}

/// Compares greedy answers.
#[derive(Debug, Clone, Args)]
pub struct ParityBench {
    /// The engine, as in inference.engine; the configured one when absent
    #[arg(long, value_name = "ENGINE")]
    pub model: Option<String>,
    /// The server to compare with; it must tell log probabilities
    #[arg(long, value_name = "OPENAI BASE URL")]
    pub against: String,
    /// The server's name of its model; the first one that it lists when absent
    #[arg(long, value_name = "NAME")]
    pub against_model: Option<String>,
    /// Questions, one in a line
    #[arg(long, value_name = "FILE", default_value = "deploy/bench/questions.txt")]
    pub questions: PathBuf,
    /// Tokens of each answer at most
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub generate: u32,
    /// The largest difference of log probability between the two tokens that still is a near tie
    #[arg(long, value_name = "NATS", default_value_t = 0.5)]
    pub tie: f32,
}

/// Which way of a request is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// Completions of a model of [[gateway.upstreams]]
    PassThrough,
    /// The repeat of a message that was answered: the stored answer
    Repeat,
    /// One question, each time by a new customer: the answer cache
    Cached,
    /// Whole turns of sessions, through retrieval and inference
    Turns,
    /// Whole turns that a curated answer ends, without the model; anything else counts as an error
    Faq,
}

/// What a session's turns go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// HTTP, answered by server-sent events
    Sse,
    /// A WebSocket for each session
    Websocket,
}

/// Measures a gateway.
#[derive(Debug, Clone, Args)]
pub struct TurnsBench {
    /// The gateway
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A tenant's key; its limits must allow the load
    #[arg(long, env = "FRONTDESK_KEY", hide_env_values = true)]
    pub key: String,
    /// Which way the requests take
    #[arg(long = "path", value_enum, default_value = "pass-through")]
    pub route: Route,
    /// What a session's turns go over
    #[arg(long, value_enum, default_value = "sse")]
    pub over: Over,
    /// The model of completions
    #[arg(long, value_name = "NAME", default_value = "echo")]
    pub model: String,
    /// What is asked in a session's turns [with --path faq: the demo's "How do I reset my password?"]
    #[arg(long, value_name = "TEXT")]
    pub question: Option<String>,
    /// Asks for completions in chunks
    #[arg(long)]
    pub stream: bool,
    /// Requests per second at the gateway while latency is measured; when absent, half of what was held at most, as at a proxy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Requests come at random times (a Poisson process) instead of even ones
    #[arg(long)]
    pub poisson: bool,
    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Connections that ask without a pause for the highest rate
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Measures everything this often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// The gateway's process, if it runs on this machine, for its memory and processor time
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// The server behind both, whose own latency is taken off
    #[arg(long, value_name = "OPENAI BASE URL")]
    pub upstream: Option<String>,
    /// Puts the same completions to this proxy, in turns with the gateway
    #[arg(long, value_name = "OPENAI BASE URL")]
    pub against: Option<String>,
    /// The proxy's key
    #[arg(long, value_name = "KEY", default_value = "", requires = "against", hide_default_value = true)]
    pub against_key: String,
    /// The proxy's process, if it runs on this machine
    #[arg(long, value_name = "PID", requires = "against")]
    pub against_pid: Option<u32>,
    /// The Redis that the gateway uses, for the bytes of a turn
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Roles whose /metrics tell how many messages they publish: the gateway and the workers
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Opens so many sessions instead of all that, and tells what they cost while nobody asks
    #[arg(long, value_name = "N")]
    pub idle: Option<u32>,
    /// Opens a WebSocket for so many of them
    #[arg(long, value_name = "N", requires = "idle", default_value_t = 0)]
    pub sockets: u32,
    /// Also writes every single measurement there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Serves a model that echoes.
#[derive(Debug, Clone, Args)]
pub struct EchoBench {
    /// Where to serve it; port 0: a free one, which is printed
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub on: SocketAddr,
}

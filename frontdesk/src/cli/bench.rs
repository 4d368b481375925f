//! What `frontdesk bench` takes.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Measures a part of the system.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Measures the engine, and beside it a peer under the same load
    Engine(EngineBench),
    /// Compares the engine's greedy answers with a peer's on the same model
    Parity(ParityBench),
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

//! The command line.

mod bench;
pub mod dlq;

pub use bench::{Bench, EchoBench, EngineBench, Over, ParityBench, RetrievalBench, Route, TurnsBench};

use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// A customer-service assistant on your own hardware, with your own knowledge.
///
/// Without a subcommand the whole system runs in this process.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What runs everywhere.
    #[command(flatten)]
    pub common: Common,
    /// Which role; `all` when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every role takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// TOML file over the built-in defaults (print them with `frontdesk defaults`)
    #[arg(long, global = true, value_name = "FILE", env = "FRONTDESK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address to serve on; a worker serves /livez, /readyz and /metrics there
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the embedded index and its kin live
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Any configuration key, such as inference.max_sequences=4
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Also serve the tenant that lies in this folder, and load its documents
    #[arg(long, global = true, value_name = "DIR")]
    pub demo: Option<PathBuf>,
}

/// What to run.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Everything in one process (the default)
    All,
    /// HTTP interface and session actors
    Gateway,
    /// Answers inference jobs
    WorkerGpu,
    /// Answers retrieval and document jobs
    WorkerRetrieval,
    /// Checks the configuration, connects to every port and says what is wrong
    Doctor,
    /// Prints the built-in configuration
    Defaults,
    /// Measures retrieval on a folder of documents with questions
    Eval(Eval),
    /// Measures a part of the system
    #[command(subcommand)]
    Bench(Bench),
    /// Sends documents to a running gateway
    Ingest(Ingest),
    /// Builds the search index anew from the catalogue and the archive
    Rebuild(Rebuild),
    /// Looks after jobs that no worker could do
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Prints the hash of a tenant key read from standard input
    HashKey,
    /// Reads a document from standard input for a retrieval worker, in a process of its own
    #[command(hide = true)]
    ReadDocument(ReadDocument),
}

/// What reading a document may take.
#[derive(Debug, Clone, Args)]
pub struct ReadDocument {
    /// How it is written
    #[arg(value_parser = ["pdf"])]
    pub format: String,
    /// Bytes of memory
    #[arg(long)]
    pub memory: u64,
    /// Seconds of one core
    #[arg(long)]
    pub seconds: u64,
}

/// Measures retrieval.
#[derive(Debug, Clone, Args)]
pub struct Eval {
    /// Folder with documents (or corpus.jsonl) and questions.jsonl
    #[arg(default_value = "deploy/demo")]
    pub folder: PathBuf,
    /// The index to measure: embedded: or the URL of a search server, whose tenant "eval" is overwritten
    #[arg(long, default_value = "embedded:")]
    pub index: String,
    /// The search server's key
    #[arg(long, env = "FRONTDESK_EVAL_INDEX_KEY", hide_env_values = true)]
    pub index_key: Option<String>,
    /// Write what the calibration is fitted on to this file
    #[arg(long)]
    pub features: Option<PathBuf>,
}

/// Builds the search index anew.
#[derive(Debug, Clone, Args)]
pub struct Rebuild {
    /// Of this tenant only
    #[arg(long)]
    pub tenant: Option<String>,
}

/// Sends documents.
#[derive(Debug, Clone, Args)]
pub struct Ingest {
    /// Files (.md, .txt, .html, .pdf, .docx, FAQ .csv and .jsonl), folders of them, web pages or sitemaps (https://…)
    #[arg(required = true)]
    pub sources: Vec<String>,
    /// The gateway
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The tenant's key
    #[arg(long, env = "FRONTDESK_KEY", hide_env_values = true)]
    pub key: String,
    /// Remove the documents that are served now and are not among these
    #[arg(long)]
    pub remove_others: bool,
    /// Only list what would be sent
    #[arg(long)]
    pub dry_run: bool,
    /// Follow sitemaps and redirections to other sites
    #[arg(long)]
    pub any_host: bool,
    /// Most pages of a sitemap
    #[arg(long, default_value_t = 10_000)]
    pub max_pages: usize,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?}: expected KEY=VALUE"))?;
    Ok((key.to_string(), value.to_string()))
}

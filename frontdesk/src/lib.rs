//! Frontdesk: the whole system in one binary, one subcommand per role.
//!
//! [`run`] reads the configuration and hands over to one role; roles share nothing but the ports.

mod bench;
pub mod cli;
pub mod config;
mod demo;
mod dlq;
mod doctor;
mod eval;
mod ingest;
mod rebuild;
mod roles;

use anyhow::Context;
use cli::{Cli, Command};
use std::io::{Read, Write};

/// Runs what the command line asks for, to its end.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let command = cli.command.unwrap_or(Command::All);
    match &command {
        Command::Defaults => print(config::DEFAULTS)?,
        Command::HashKey => print(&format!("{}\n", hash_key()?))?,
        Command::ReadDocument(limits) => {
            worker_retrieval::read::confine::serve(limits.memory, limits.seconds).context("reading a document")?;
        }
        Command::Ingest(ingest) => return block_on(ingest::run(ingest)),
        command => {
            let config = config::load(&cli.common, command).context("configuration")?;
            return start(&cli.common, command, config);
        }
    }
    Ok(())
}

fn start(common: &cli::Common, command: &Command, config: config::Config) -> anyhow::Result<()> {
    // HTTPS clients take the process's default; a second installation is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = runtime::telemetry::init(&config.telemetry, role_name(command))?;
    match command {
        Command::Rebuild(rebuild) => block_on(rebuild::run(&config, rebuild)),
        Command::Dlq(dlq) => block_on(dlq::run(&config, dlq)),
        Command::Doctor => block_on(doctor::run(&config)),
        Command::Bench(bench) => bench::run(&config, bench),
        Command::Eval(args) => eval::run(&config, args),
        Command::Gateway => block_on(roles::gateway(config, common.demo.clone())),
        Command::WorkerGpu => block_on(roles::worker_gpu(config)),
        Command::WorkerRetrieval => block_on(roles::worker_retrieval(config)),
        _ => block_on(roles::all(config, common.demo.clone())),
    }
}

fn role_name(command: &Command) -> &'static str {
    match command {
        Command::Gateway => "gateway",
        Command::WorkerGpu => "worker-gpu",
        Command::WorkerRetrieval => "worker-retrieval",
        _ => "all",
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?.block_on(work)
}

/// Writes to standard output; unlike `print!`, a closed pipe is an error and no panic.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("writing to standard output")
}

fn hash_key() -> anyhow::Result<gateway::KeyHash> {
    let mut key = String::new();
    std::io::stdin().read_to_string(&mut key).context("reading the key from standard input")?;
    let key = key.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !key.is_empty(),
        "hash-key reads the key from standard input: printf %s \"$KEY\" | frontdesk hash-key"
    );
    Ok(gateway::KeyHash::of(key))
}

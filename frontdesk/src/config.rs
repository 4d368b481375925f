//! The whole configuration, read and validated before anything starts.

use crate::cli::{Command, Common};
use protocol::{Lang, TenantId};
use runtime::config::{ConfigError, Problem};
use serde::{Deserialize, Serialize};
use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

/// Every key with its default, as shipped.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Other defaults of `frontdesk all` with an engine on a CPU, which takes seconds to read a long prompt.
const ON_CPU: &[(&str, &str)] = &[
    ("first_token_deadline_ms = 10_000", "first_token_deadline_ms = 60_000"),
    ("breaker_queue_wait_ms = 2_000", "breaker_queue_wait_ms = 20_000"),
    ("breaker_first_token_ms = 2_000", "breaker_first_token_ms = 30_000"),
];

/// The root of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the embedded index and its kin live.
    pub data_dir: PathBuf,
    /// Where models lie; empty: the user's cache directory.
    pub models_dir: PathBuf,
    /// The broker.
    pub broker: Broker,
    /// Logs and traces.
    pub telemetry: runtime::telemetry::Config,
    /// The HTTP interface.
    pub gateway: gateway::Config,
    /// Session actors.
    pub session: actors::Config,
    /// What is known of documents.
    pub catalog: Store,
    /// Their originals.
    pub archive: Store,
    /// Retrieval workers.
    pub retrieval: worker_retrieval::Config,
    /// GPU workers.
    pub inference: worker_gpu::Config,
    /// Who may call.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
}

/// Section `[broker]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// `memory:` or `amqp://…`.
    pub url: String,
    /// How long a role waits for the broker and the store at start, in milliseconds.
    pub connect_timeout_ms: u64,
}

/// Sections `[catalog]` and `[archive]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Where it is.
    pub url: String,
}

/// One of `[[tenants]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's id; part of every key, queue message and path.
    pub id: TenantId,
    /// The company as the assistant names it.
    pub name: String,
    /// What the assistant should be and do besides the built-in rules.
    #[serde(default)]
    pub instructions: String,
    /// The answer's language when neither message nor session tell it.
    #[serde(default)]
    pub default_lang: Option<Lang>,
    /// How a customer reaches a person, told word by word.
    #[serde(default)]
    pub contact: String,
    /// Whether the assistant says that it does not know an answer, without asking the model.
    #[serde(default = "yes")]
    pub abstains: bool,
    /// SHA-256 of each key, as `frontdesk hash-key` prints it.
    pub key_hashes: Vec<gateway::KeyHash>,
    /// Refuse the keys from other hosts.
    #[serde(default)]
    pub loopback_only: bool,
    /// Its share of the GPU workers in relation to others', when there is not enough for all.
    #[serde(default = "one")]
    pub weight: NonZero<u32>,
    /// Quotas.
    #[serde(default)]
    pub limits: gateway::Limits,
}

fn yes() -> bool {
    true
}

fn one() -> NonZero<u32> {
    NonZero::<u32>::MIN
}

/// Reads and validates the whole configuration for `command`.
pub fn load(common: &Common, command: &Command) -> Result<Config, ConfigError> {
    let mut flags: Vec<(&str, String)> = common.set.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    flags.extend(common.listen.map(|listen| ("gateway.listen", listen.to_string())));
    flags.extend(common.data_dir.as_ref().map(|dir| ("data_dir", dir.display().to_string())));
    let mut config: Config = runtime::config::load(DEFAULTS, common.config.as_deref(), &flags)?;
    if matches!(command, Command::All) && computes_on_cpu(&config.inference) {
        config = runtime::config::load(&defaults_on_cpu(), common.config.as_deref(), &flags)?;
    }
    if let Some(folder) = &common.demo {
        config.tenants.push(demo_tenant(folder)?);
    }
    if config.models_dir.as_os_str().is_empty() {
        config.models_dir = cache_dir().join("models");
    }
    let problems = problems(&config, command);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
}

fn computes_on_cpu(inference: &worker_gpu::Config) -> bool {
    let is_ours = ["candle:", "dummy:"].iter().any(|scheme| inference.engine.starts_with(scheme));
    is_ours && inference.devices.iter().any(|device| device == "cpu")
}

fn defaults_on_cpu() -> String {
    ON_CPU.iter().fold(DEFAULTS.to_string(), |text, (usual, slow)| text.replace(usual, slow))
}

fn problems(config: &Config, command: &Command) -> Vec<Problem> {
    let mut found = config.telemetry.problems();
    found.extend(runtime::broker::problem("broker.url", &config.broker.url));
    found.extend(config.gateway.problems());
    found.extend(config.session.problems());
    found.extend(config.retrieval.problems());
    found.extend(config.inference.problems());
    let serves = matches!(command, Command::All | Command::Gateway | Command::Doctor);
    if serves && config.tenants.is_empty() {
        found.push(Problem::new("tenants", "[]", "at least one [[tenants]] entry, or --demo deploy/demo"));
    }
    found.extend(gateway::Tenants::problems(&config.callers()));
    found.extend(alone_in_memory(config, command));
    found
}

/// A role on its own can reach neither jobs nor sessions that live in another process's memory.
fn alone_in_memory(config: &Config, command: &Command) -> Vec<Problem> {
    let alone = matches!(command, Command::Gateway | Command::WorkerGpu | Command::WorkerRetrieval);
    let memory = |url: &str| alone && url.starts_with("memory:");
    let mut found = Vec::new();
    if matches!(command, Command::Dlq(_)) && config.broker.url.starts_with("memory:") {
        let expected = "amqp://…, since the dead letters of memory: are in the process that runs it";
        found.push(Problem::new("broker.url", &config.broker.url, expected));
    }
    if memory(&config.broker.url) {
        let expected = "amqp://…, since this role runs alone (memory: works only with `frontdesk all`)";
        found.push(Problem::new("broker.url", &config.broker.url, expected));
    }
    if matches!(command, Command::Gateway) && memory(&config.session.store) {
        let expected = "redis://…, since this role runs alone (memory: works only with `frontdesk all`)";
        found.push(Problem::new("session.store", &config.session.store, expected));
    }
    found
}

fn demo_tenant(folder: &Path) -> Result<Tenant, ConfigError> {
    let file = folder.join("tenant.toml");
    if !file.is_file() {
        return Err(ConfigError(vec![Problem::new("--demo", folder.display(), "a folder with tenant.toml")]));
    }
    runtime::config::read(&file)
}

fn cache_dir() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("FRONTDESK_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("frontdesk")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/frontdesk")))
        .unwrap_or_else(|| PathBuf::from(".cache/frontdesk"))
}

impl Config {
    /// What sessions know of their tenants.
    pub fn profiles(&self) -> actors::Profiles {
        let persona = |tenant: &Tenant| actors::Persona {
            name: tenant.name.clone(),
            instructions: tenant.instructions.clone(),
            default_lang: tenant.default_lang.clone(),
            contact: tenant.contact.clone(),
        };
        let profile = |tenant: &Tenant| actors::Profile {
            persona: persona(tenant),
            weight: tenant.weight.get(),
            abstains: tenant.abstains,
        };
        self.tenants.iter().map(|tenant| (tenant.id.clone(), profile(tenant))).collect()
    }

    /// Who may call.
    pub fn callers(&self) -> Vec<gateway::Tenant> {
        let caller = |tenant: &Tenant| gateway::Tenant {
            id: tenant.id.clone(),
            key_hashes: tenant.key_hashes.clone(),
            loopback_only: tenant.loopback_only,
            limits: tenant.limits.clone(),
        };
        self.tenants.iter().map(caller).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_on_a_cpu_has_more_time_unless_the_configuration_says_how_much() {
        let session = |args: &[&str]| {
            let args = ["frontdesk", "--demo", "../deploy/demo"].iter().chain(args);
            let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(args).unwrap();
            load(&cli.common, &cli.command.unwrap_or(Command::All)).unwrap().session
        };
        let times = |s: &actors::Config| (s.first_token_deadline_ms, s.breaker_queue_wait_ms, s.breaker_first_token_ms);
        assert_eq!(times(&session(&[])), (60_000, 20_000, 30_000));
        assert_eq!(times(&session(&["--set", "session.breaker_queue_wait_ms=2000"])), (60_000, 2_000, 30_000));
        assert_eq!(times(&session(&["--set", "inference.engine=echo:"])), times(&actors::Config::default()));
    }

    #[test]
    fn the_shipped_file_says_what_the_code_defaults_to() {
        let shipped: Config = runtime::config::load(DEFAULTS, None, &[]).unwrap();
        assert_eq!(shipped.telemetry, runtime::telemetry::Config::default());
        assert_eq!(shipped.gateway, gateway::Config::default());
        assert_eq!(shipped.session, actors::Config::default());
        assert_eq!(shipped.retrieval, worker_retrieval::Config::default());
        assert_eq!(shipped.inference, worker_gpu::Config::default());
    }
}

//! Starts `frontdesk` processes with a configuration of the test's own.

use runtime::testing::{Process, free_port};
use std::{path::PathBuf, process::Command, time::Duration};
use tempfile::TempDir;

/// The key of tenant `acme`.
pub const KEY: &str = "acme-key";
/// The key of tenant `globex`.
pub const OTHER_KEY: &str = "globex-key";
/// No model and no embedder: what is under test is the way between them.
pub const ECHO: &[&str] = &["--set", "inference.engine=echo:", "--set", "retrieval.embedder=hashing:"];

/// What is under test is the way to the model, so no answer comes from elsewhere.
const TENANTS: &str = r#"
[session]
abstain_below = 0
faq_confidence = 2
answer_cache = "off"

[[tenants]]
id = "acme"
name = "Acme"
key_hashes = ["ACME"]
limits = { requests_per_minute = 100000, concurrent_turns = 1000 }

[[tenants]]
id = "globex"
name = "Globex"
key_hashes = ["GLOBEX"]
"#;

/// A folder with a configuration file, and the arguments that every process of one system takes.
pub struct System {
    pub dir: TempDir,
    pub args: Vec<String>,
}

impl System {
    /// `args` go to every process.
    pub fn new(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let hash = |key| gateway::KeyHash::of(key).to_string();
        let tenants = TENANTS.replace("ACME", &hash(KEY)).replace("GLOBEX", &hash(OTHER_KEY));
        std::fs::write(dir.path().join("frontdesk.toml"), tenants).unwrap();
        let file = dir.path().join("frontdesk.toml").display().to_string();
        let data = dir.path().join("data").display().to_string();
        let common = ["--config", &file, "--data-dir", &data].map(String::from);
        Self { args: common.into_iter().chain(args.iter().map(|arg| arg.to_string())).collect(), dir }
    }

    /// Starts `role` on a free port; it may not be ready yet.
    pub fn start(&self, role: &str, args: &[&str]) -> Frontdesk {
        self.start_on(free_port(), role, args)
    }

    /// Starts `role` on `port`.
    pub fn start_on(&self, port: u16, role: &str, args: &[&str]) -> Frontdesk {
        let listen = format!("127.0.0.1:{port}");
        let mut all = vec![role, "--listen", &listen];
        all.extend(self.args.iter().map(String::as_str));
        all.extend(args);
        let log = self.dir.path().join(format!("{role}-{port}.log"));
        let mut command = Command::new(binary());
        // Meant for the suite, and no keys of the configuration.
        command.env_remove("FRONTDESK_CHAOS_SECONDS").env_remove("FRONTDESK_CHAOS_SEED");
        let process = Process::start(role, command.args(&all).current_dir(root()), &log);
        Frontdesk { process, url: format!("http://{listen}"), port }
    }
}

/// One running process.
pub struct Frontdesk {
    pub process: Process,
    pub url: String,
    pub port: u16,
}

impl Frontdesk {
    /// Waits until `/readyz` says so.
    pub async fn ready(mut self) -> Self {
        for _ in 0..600 {
            let answer = http().get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return self;
            }
            if let Some(status) = self.process.exited() {
                panic!("ended with {status} before it was ready:\n{}", self.process.log());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not ready after 60 s:\n{}", self.process.log());
    }
}

/// An HTTP client; it has no TLS to configure, but insists on a provider.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_frontdesk")
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the install script keeps models and tools.
pub fn cache() -> PathBuf {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    named("FRONTDESK_CACHE").unwrap_or_else(|| named("HOME").unwrap_or_default().join(".cache/frontdesk"))
}

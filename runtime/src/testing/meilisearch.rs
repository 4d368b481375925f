//! A private Meilisearch server.

use super::{Process, free_port};
use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);

/// A Meilisearch of its own, with a master key.
pub struct Meilisearch {
    /// Dropped before its directory.
    server: Option<Process>,
    port: u16,
    home: TempDir,
}

impl Meilisearch {
    /// The master key of every one.
    pub const KEY: &str = "a-master-key-for-tests-only";

    /// Starts a server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut server = Self { server: None, port: free_port(), home };
        server.start_again();
        server
    }

    /// `http://…`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on which it takes clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, 0 while it does not run.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Process::pid)
    }

    /// Where its data lie.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Stops the server in good order.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(STOP);
        }
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a stopped or killed server on the same port.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start_again(&mut self) {
        self.server = None;
        let program = program();
        assert!(program.exists(), "Meilisearch is not in {}: run deploy/install/test.sh", program.display());
        let directory = self.home.path();
        let mut command = Command::new(program);
        command.current_dir(directory).args(["--no-analytics", "--env", "production", "--master-key", Self::KEY]);
        command.args(["--http-addr", &format!("127.0.0.1:{}", self.port), "--max-indexing-threads", "2"]);
        command.arg("--db-path").arg(self.data());
        let mut server = Process::start("meilisearch", &mut command, &directory.join("meilisearch.log"));
        let port = self.port;
        server.wait_until("is healthy", START, || is_healthy(port).unwrap_or(false));
        self.server = Some(server);
    }
}

fn program() -> PathBuf {
    let home = || env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = || env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
    let cache = env::var_os("FRONTDESK_CACHE").map_or_else(|| cache().join("frontdesk"), PathBuf::from);
    cache.join("tools/bin/meilisearch")
}

fn is_healthy(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

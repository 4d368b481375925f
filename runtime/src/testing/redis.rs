//! A private Redis server.

use super::{Process, free_port};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// A Redis of its own; it keeps its data only while it runs, unless it was started durable.
pub struct Redis {
    /// Dropped before its directory.
    server: Option<Process>,
    port: u16,
    durable: bool,
    home: TempDir,
}

impl Redis {
    /// Starts a server whose data end with it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        Self::with(false)
    }

    /// Starts a server that has every write on disk before it answers.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start_durable() -> Self {
        Self::with(true)
    }

    fn with(durable: bool) -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut redis = Self { server: None, port: free_port(), durable, home };
        redis.start_again();
        redis
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port on which it takes clients.
    pub fn port(&self) -> u16 {
        self.port
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
        let program = Path::new("/usr/bin/redis-server");
        assert!(program.exists(), "Redis is not installed: apt-get install -y --no-install-recommends redis-server");
        let directory = self.home.path();
        let mut command = Command::new(program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", if self.durable { "yes" } else { "no" }, "--appendfsync", "always"]);
        command.arg("--dir").arg(directory);
        let mut server = Process::start("redis-server", &mut command, &directory.join("redis.log"));
        let port = self.port;
        server.wait_until("answers PING", START, || answers(port));
        self.server = Some(server);
    }

    /// Stops the server in good order and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }
}

/// Whether a Redis that has loaded its data listens on `port`.
fn answers(port: u16) -> bool {
    let mut answer = [0; 7];
    let mut ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    ping().unwrap_or(false)
}

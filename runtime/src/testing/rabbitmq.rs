//! A private RabbitMQ node.

use super::{Process, free_port};
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// Debian's wrappers in `/usr/sbin` switch to the user `rabbitmq`; these do not.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(30);
/// The node tells what is published on it, as `rabbitmqctl trace_on` would make it until the next restart.
const TRACED: &str = "[{rabbit, [{trace_vhosts, [<<\"/\">>]}]}].\n";
const CONFIG: &str = "raft.wal_max_size_bytes = 33554432\nlog.console.level = info\n";

/// A RabbitMQ of its own: node name, cookie, ports, data and port mapper.
pub struct RabbitMq {
    /// Dropped before what follows.
    server: Option<Process>,
    _port_mapper: Process,
    ports: Ports,
    home: TempDir,
}

struct Ports {
    amqp: u16,
    distribution: u16,
    mapper: u16,
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub ready: u64,
    /// Messages that are delivered and not settled.
    pub unsettled: u64,
}

impl RabbitMq {
    /// Starts a node and waits until it accepts clients.
    ///
    /// # Panics
    /// When it is not installed or does not start within two minutes.
    pub fn start() -> Self {
        Self::with("[].\n")
    }

    /// Starts a node whose messages a [`Tap`](super::Tap) can see.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_traced() -> Self {
        Self::with(TRACED)
    }

    fn with(advanced: &str) -> Self {
        let server = Path::new(PROGRAMS).join("rabbitmq-server");
        assert!(
            server.exists(),
            "RabbitMQ is not installed: apt-get install -y --no-install-recommends rabbitmq-server"
        );
        let home = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let files = [("rabbitmq.conf", CONFIG), ("advanced.config", advanced), ("plugins", "[].\n"), ("env.conf", "")];
        for (file, text) in files {
            fs::write(home.path().join(file), text).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
        }
        let ports = Ports { amqp: free_port(), distribution: free_port(), mapper: free_port() };
        // Started here, not by Erlang, because as a daemon it would outlive the node.
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &ports.mapper.to_string(), "-address", "127.0.0.1"]);
        let mut port_mapper = Process::start("epmd", &mut epmd, &home.path().join("epmd.log"));
        port_mapper.wait_for_port(ports.mapper, START);
        let mut node = Self { server: None, _port_mapper: port_mapper, ports, home };
        node.start_again();
        node
    }

    /// `amqp://…`, with the default user and vhost.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port())
    }

    /// The port on which it takes clients.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    #[cfg(test)]
    pub(super) fn mapper_port(&self) -> u16 {
        self.ports.mapper
    }

    /// Stops the node in good order; its data stay.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(STOP);
        }
    }

    /// Ends the node at once, as a crash would; its data stay.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a stopped or killed node on the same port and data, and waits until it accepts clients.
    ///
    /// # Panics
    /// When it does not start within two minutes.
    pub fn start_again(&mut self) {
        self.server = None;
        let mut command = self.command("rabbitmq-server");
        let mut server = Process::start("rabbitmq-server", &mut command, &self.log_file());
        let port = self.port();
        server.wait_until("accepts AMQP clients", START, || greets(port));
        self.server = Some(server);
    }

    /// Stops the node in good order and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Every queue with what it holds; takes some seconds.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn queues(&self) -> Vec<QueueDepth> {
        let columns = ["name", "messages_ready", "messages_unacknowledged"];
        let mut command = self.command("rabbitmqctl");
        let output = command.args(["-q", "list_queues", "--no-table-headers"]).args(columns).output();
        let output = output.unwrap_or_else(|error| panic!("cannot start rabbitmqctl: {error}"));
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "rabbitmqctl: {errors}; the node's log:\n{}", self.log());
        text.lines().filter_map(parse_depth).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("rabbitmq.log")
    }

    fn command(&self, program: &str) -> Command {
        let home = self.home.path();
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        command
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.ports.mapper.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", home.join("env.conf"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", home.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_NODENAME", format!("frontdesk-{}@localhost", self.port()))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port().to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        command
    }
}

/// Whether an AMQP server on `port` answers a client's first bytes.
fn greets(port: u16) -> bool {
    let mut first = [0];
    let mut greet = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read_exact(&mut first)
    };
    greet().is_ok()
}

fn parse_depth(line: &str) -> Option<QueueDepth> {
    let mut columns = line.split('\t');
    let (name, ready, unsettled) = (columns.next()?, columns.next()?, columns.next()?);
    Some(QueueDepth { name: name.into(), ready: ready.parse().ok()?, unsettled: unsettled.parse().ok()? })
}

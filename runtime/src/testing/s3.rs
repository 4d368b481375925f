//! A private S3 server: SeaweedFS.

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

const START: Duration = Duration::from_secs(60);

const IDENTITIES: &str = r#"{"identities": [{"name": "frontdesk", "actions": ["Admin", "Read", "Write", "List"],
    "credentials": [{"accessKey": "frontdesk", "secretKey": "secret-of-frontdesk"}]}]}"#;

/// An S3 server of its own with one empty bucket, `frontdesk`.
pub struct S3 {
    /// Dropped before its directory.
    server: Option<Process>,
    /// Of the S3 interface and of the file interface, by which buckets are made; the others are internal.
    ports: [u16; 8],
    home: TempDir,
}

impl S3 {
    /// The key that may do everything.
    pub const ACCESS_KEY: &str = "frontdesk";
    /// Its secret.
    pub const SECRET_KEY: &str = "secret-of-frontdesk";

    /// Starts a server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut s3 = Self { server: None, ports: std::array::from_fn(|_| free_port()), home };
        s3.start_again();
        s3
    }

    /// `http://…`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a killed server on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.server = None;
        let home = self.home.path();
        let made = fs::create_dir_all(home.join("data")).and_then(|()| fs::write(home.join("s3.json"), IDENTITIES));
        made.unwrap_or_else(|error| panic!("{}: {error}", home.display()));
        let mut server = Process::start("weed", &mut command(home, &self.ports), &home.join("weed.log"));
        let [s3, files, ..] = self.ports;
        server.wait_until("has a bucket and room", START, || {
            says(s3, "GET", "/status", "", 200) && has_bucket(files) && says(files, "PUT", "/room", "?", 201)
        });
        self.server = Some(server);
    }
}

fn command(home: &Path, ports: &[u16; 8]) -> Command {
    let [s3, filer, master, volume, s3_grpc, filer_grpc, master_grpc, volume_grpc] = ports;
    let mut command = Command::new(program());
    command.current_dir(home).args(["server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
    command.args(["-s3.config=s3.json", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.args(["-dir=data", "-volume.max=20", "-master.volumeSizeLimitMB=64", "-master.electionTimeout=1s"]);
    let named = [
        ("s3.port", s3),
        ("s3.port.grpc", s3_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
    ];
    command.args(named.map(|(name, port)| format!("-{name}={port}")));
    command
}

/// Where the install script for tests puts it.
fn program() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("FRONTDESK_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("frontdesk")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/frontdesk")));
    let program = cache.unwrap_or_default().join("venv/bin/weed");
    assert!(program.exists(), "SeaweedFS is not installed: run deploy/install/test.sh");
    program
}

fn has_bucket(files: u16) -> bool {
    says(files, "GET", "/buckets/frontdesk/", "", 200) || says(files, "POST", "/buckets/frontdesk/", "", 201)
}

/// Whether a request is answered with `status`.
fn says(port: u16, method: &str, path: &str, body: &str, status: u16) -> bool {
    let mut line = [0; 12];
    let mut ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n")?;
        write!(stream, "Connection: close\r\n\r\n{body}")?;
        stream.read_exact(&mut line)?;
        Ok(line == *format!("HTTP/1.1 {status}").as_bytes())
    };
    ask().unwrap_or(false)
}

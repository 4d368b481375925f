//! A Meilisearch beside which the embedded index is measured.

use anyhow::{Context, bail};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest time to start.
const START: Duration = Duration::from_secs(60);
/// The key of a server that lives for one measurement.
const KEY: &str = "frontdesk-bench-retrieval";

/// A server that was there, or one of our own that ends with this.
pub struct Server {
    /// `http://…`
    pub url: String,
    /// Its master key.
    pub key: Option<String>,
    child: Option<Child>,
    data: PathBuf,
}

impl Server {
    /// The server at a URL, or one that is started from a binary with its data in `home`.
    pub fn open(choice: &str, key: Option<&str>, home: &Path) -> anyhow::Result<Self> {
        let data = home.join("meilisearch");
        if choice.starts_with("http") {
            return Ok(Self { url: choice.into(), key: key.map(str::to_owned), child: None, data });
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(choice);
        command.args(["--no-analytics", "--master-key", KEY, "--http-addr", &format!("127.0.0.1:{port}")]);
        command.current_dir(home).arg("--db-path").arg(&data).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("--meilisearch {choice}"))?;
        let url = format!("http://127.0.0.1:{port}");
        let mut server = Self { url, key: Some(KEY.into()), child: Some(child), data };
        server.wait(port)?;
        Ok(server)
    }

    fn wait(&mut self, port: u16) -> anyhow::Result<()> {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("--meilisearch: the server ended with {status}");
            }
            if began.elapsed() > START {
                bail!("--meilisearch: the server did not start within {} s", START.as_secs());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its process, if it is our own.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its data, if it is our own.
    pub fn data(&self) -> Option<&Path> {
        self.child.as_ref().map(|_| self.data.as_path())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

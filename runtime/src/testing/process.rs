//! A child process whose output goes to a file and which ends with its handle.

use super::is_open;
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);

/// A running child, leader of its own process group.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to the file `log`; `name` is for messages.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = || OpenOptions::new().create(true).append(true).open(log);
        let mut spawn = || -> io::Result<Child> {
            let (out, err) = (file()?, file()?);
            command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn()
        };
        let child = spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.into(), child, log: log.into() }
    }

    /// The process id, which is the group's id too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it listens on `port` of 127.0.0.1.
    ///
    /// # Panics
    /// When it ends before that or `limit` has passed.
    pub fn wait_for_port(&mut self, port: u16, limit: Duration) {
        self.wait_until(&format!("listens on port {port}"), limit, || is_open(port));
    }

    /// Waits until a line of its output contains `text` and returns that line.
    ///
    /// # Panics
    /// When it ends before that or `limit` has passed.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> String {
        let log = self.log.clone();
        let find = || {
            let output = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
            output.lines().find(|line| line.contains(text)).map(str::to_owned)
        };
        self.wait_until(&format!("says {text:?}"), limit, || find().is_some());
        find().unwrap_or_default()
    }

    /// Waits until `ready`; `what` names it for the message.
    ///
    /// # Panics
    /// When the process ends before that or `limit` has passed.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !ready() {
            let ended = self.exited();
            let late = Instant::now() >= deadline;
            if ended.is_some() || late {
                let fate =
                    ended.map_or_else(|| format!("not within {limit:?}"), |status| format!("ended with {status}"));
                panic!("{}: waiting until it {what}: {fate}; its log:\n{}", self.name, self.log());
            }
            sleep(POLL);
        }
    }

    /// How it ended; `None` while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When `limit` passes before that.
    pub fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        self.exit_within(limit)
            .unwrap_or_else(|| panic!("{} did not end within {limit:?}; its log:\n{}", self.name, self.log()))
    }

    /// Asks it to end (SIGTERM), and kills it when it has not after `limit`.
    pub fn stop(&mut self, limit: Duration) {
        signal(&self.pid().to_string(), "15");
        self.exit_within(limit);
        self.kill();
    }

    /// Halts it and all it started (SIGSTOP), until [`resume`](Self::resume).
    pub fn pause(&self) {
        signal(&format!("-{}", self.pid()), "STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        signal(&format!("-{}", self.pid()), "CONT");
    }

    /// Ends it and all it started at once (SIGKILL).
    pub fn kill(&mut self) {
        signal(&format!("-{}", self.pid()), "9");
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn exit_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => sleep(POLL),
                result => return result.ok().flatten(),
            }
        }
    }
}

/// The shell's own `kill` is present on every machine, and no unsafe code is needed.
fn signal(target: &str, number: &str) {
    let mut kill = Command::new("sh");
    let _ = kill.args(["-c", "kill -$1 $2 2>/dev/null", "sh", number, target]).status();
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

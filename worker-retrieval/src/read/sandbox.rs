//! Reads PDFs in a process of its own: a document that eats memory or time, or kills its reader, harms nobody else.

use super::{Limits, Reading, confine, pdf, too_large, unreadable};
use protocol::{ErrorCode, Failure};
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

/// Where PDFs are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// In this process; for tests and for documents that are trusted.
    InProcess,
    /// In a process of its own: `program` is started with [`confine::ARGUMENTS`], and must then call [`confine::serve`].
    Process(PathBuf),
}

/// Processor time is short of the limit of time by this much at most, so that the clock decides on an idle machine.
const SPARE: Duration = Duration::from_secs(1);

impl Sandbox {
    /// The running program itself, also when its file was replaced meanwhile.
    pub fn this_program() -> std::io::Result<Self> {
        let itself = PathBuf::from("/proc/self/exe");
        Ok(Self::Process(if itself.exists() { itself } else { std::env::current_exe()? }))
    }

    /// Reads a PDF.
    pub fn read_pdf(&self, bytes: &[u8], limits: &Limits) -> Result<Reading, Failure> {
        match self {
            Self::InProcess => pdf::read(bytes, limits),
            Self::Process(program) => {
                let mut command = Command::new(program);
                command.args(confine::ARGUMENTS);
                command.arg(format!("--memory={}", limits.memory));
                command.arg(format!("--seconds={}", (limits.time + SPARE).as_secs()));
                apart(command, bytes, limits)
            }
        }
    }
}

fn apart(mut command: Command, bytes: &[u8], limits: &Limits) -> Result<Reading, Failure> {
    // It needs no secrets of this process; shared libraries may lie in unusual places.
    let libraries = std::env::var_os("LD_LIBRARY_PATH");
    command.env_clear().envs(libraries.map(|paths| ("LD_LIBRARY_PATH", paths)));
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| unavailable(&error))?;
    let outcome = std::thread::scope(|scope| {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        // It may end before it has read all: what it says counts.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
        let (said, outcome) = mpsc::sync_channel(1);
        let most = limits.unpacked as u64 * 2;
        scope.spawn(move || {
            let mut text = Vec::new();
            let read = stdout.map(|stdout| stdout.take(most).read_to_end(&mut text));
            said.send(read.is_some_and(|read| read.is_ok()).then_some(text))
        });
        let outcome = outcome.recv_timeout(limits.time);
        end(&mut child, outcome.is_err()).map(|status| (outcome.ok().flatten(), status))
    });
    let (said, status) = outcome.map_err(|error| unavailable(&error))?;
    let Some(text) = said else {
        let seconds = limits.time.as_secs();
        return Err(unreadable(format!("the PDF takes longer than {seconds} s to read; split it or print it anew")));
    };
    match serde_json::from_slice(&text) {
        Ok(outcome) => outcome,
        Err(_) => Err(ended(status, limits)),
    }
}

fn end(child: &mut Child, kill: bool) -> std::io::Result<ExitStatus> {
    if kill {
        child.kill()?;
    }
    child.wait()
}

/// Why a process ended without an outcome.
#[cfg(unix)]
fn ended(status: ExitStatus, limits: &Limits) -> Failure {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal();
    tracing::warn!(?signal, code = status.code(), "a process that read a PDF ended without an outcome");
    match signal {
        Some(signal) if signal == Signal::ABORT.as_raw() || signal == Signal::KILL.as_raw() => {
            let most = limits.memory >> 20;
            too_large(format!("the PDF needs more than {most} MiB of memory to read; split it or print it anew"))
        }
        Some(signal) if signal == Signal::XCPU.as_raw() => {
            unreadable("the PDF takes too long to read; split it or print it anew")
        }
        _ => confine::damaged(),
    }
}

#[cfg(not(unix))]
fn ended(_: ExitStatus, _: &Limits) -> Failure {
    confine::damaged()
}

fn unavailable(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "no process could be started to read a PDF");
    Failure::new(ErrorCode::Unavailable, "the document could not be read now; try again")
}

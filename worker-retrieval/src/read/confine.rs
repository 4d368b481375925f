//! The process that reads one document for another process: it gives up what it does not need, then reads.

use super::{Limits, Reading, pdf, unreadable};
use protocol::Failure;
use std::io::{Read, Write};

/// The arguments after the program's name that make it call [`serve`].
pub const ARGUMENTS: &[&str] = &["read-document", "pdf"];

/// Deeply nested documents need a deep stack.
const STACK_BYTES: usize = 32 << 20;

/// Reads a PDF from standard input and writes the outcome to standard output, as JSON. The process may end by a signal
/// when the document needs more than `memory` bytes or `seconds` of one core.
pub fn serve(memory: u64, seconds: u64) -> std::io::Result<()> {
    confine(memory, seconds)?;
    let limits = Limits::default();
    let mut bytes = Vec::new();
    std::io::stdin().take(limits.bytes as u64 + (64 << 20)).read_to_end(&mut bytes)?;
    let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || pdf::read(&bytes, &limits))?;
    let outcome: Result<Reading, Failure> = reader.join().unwrap_or_else(|_| Err(damaged()));
    std::io::stdout().write_all(&serde_json::to_vec(&outcome)?)
}

/// The failure of a document that a reader stumbled over.
pub fn damaged() -> Failure {
    unreadable("the PDF is damaged; open it in a viewer and save or print it as a new PDF")
}

#[cfg(unix)]
fn confine(memory: u64, seconds: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let lower = |resource: Resource, soft: u64, hard: u64| {
        let now = getrlimit(resource).maximum;
        let most = |limit: u64| Some(now.map_or(limit, |now| now.min(limit)));
        setrlimit(resource, Rlimit { current: most(soft), maximum: most(hard) })
    };
    let memory = memory.saturating_add(mapped());
    lower(Resource::As, memory, memory)?;
    // At the soft limit it ends by the signal that says why.
    lower(Resource::Cpu, seconds, seconds + 5)?;
    lower(Resource::Core, 0, 0)?;
    // No file can grow.
    lower(Resource::Fsize, 0, 0)?;
    Ok(())
}

#[cfg(not(unix))]
fn confine(_: u64, _: u64) -> std::io::Result<()> {
    Ok(())
}

/// Address space that the process has already, in bytes.
#[cfg(unix)]
fn mapped() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = size.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}

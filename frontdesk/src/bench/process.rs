//! Processor time of a process, which tells more than the clock on a busy machine.

use anyhow::Context;
use std::path::PathBuf;

/// Ticks of a second in `/proc`, on every Linux of today.
const TICKS: f64 = 100.0;

/// A process on this machine.
pub struct Process(PathBuf);

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self("/proc/self/stat".into())
    }

    /// The one with this number.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let process = Self(format!("/proc/{pid}/stat").into());
        process.seconds().with_context(|| format!("--against-pid {pid}: there is no such process"))?;
        Ok(process)
    }

    /// Seconds that all its threads have computed; `None` where there is no `/proc`.
    pub fn seconds(&self) -> Option<f64> {
        seconds(&std::fs::read_to_string(&self.0).ok()?)
    }
}

/// User and system time: the 14th and 15th field, of which the second is a name that may hold anything.
fn seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_summed() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 1 2 3";
        assert_eq!(seconds(stat), Some(3.0));
        assert_eq!(seconds("7 (a) S 1"), None);
    }
}

//! What `frontdesk dlq` takes.

use clap::{Args, Subcommand};
use protocol::TenantId;
use runtime::broker::Reason;
use std::time::Duration;

/// Looks after the dead letters: jobs that no worker will be given again.
#[derive(Debug, Clone, Subcommand)]
pub enum Dlq {
    /// Lists them, the oldest first, without what customers wrote
    List(List),
    /// Shows whole ones, with what customers wrote
    Show(Show),
    /// Gives them back to the queue that each came from, with a new deadline
    Requeue(Requeue),
    /// Takes them away for good
    Drop(Drop),
}

/// Which dead letters; all that fit every flag.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Jobs of this tenant
    #[arg(long, value_name = "TENANT", value_parser = tenant)]
    pub tenant: Option<TenantId>,
    /// Jobs that died in this queue; a worker's own queue counts as the shared one
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Jobs that died of this: expired, delivery_limit, refused or unknown
    #[arg(long, value_name = "REASON")]
    pub reason: Option<Reason>,
    /// The job with this id as `list` shows it, or every job of the turn with this id
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
}

impl Which {
    /// Whether it leaves none out.
    pub fn is_all(&self) -> bool {
        self.tenant.is_none() && self.queue.is_none() && self.reason.is_none() && self.job.is_none()
    }
}

/// Lists dead letters.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Prints a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Shows dead letters.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub limit: usize,
    /// Prints a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Which dead letters to change.
#[derive(Debug, Clone, Args)]
pub struct Chosen {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Every one that there is
    #[arg(long, conflicts_with_all = ["tenant", "queue", "reason", "job"])]
    pub all: bool,
    /// At most so many, the oldest first
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Prints what was done as a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Gives dead letters back to their queues.
#[derive(Debug, Clone, Args)]
pub struct Requeue {
    /// Which
    #[command(flatten)]
    pub chosen: Chosen,
    /// The time that each gets from now on, such as 500ms, 60s, 5m or 1h: its own has usually passed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub deadline: Duration,
}

/// Takes dead letters away.
#[derive(Debug, Clone, Args)]
pub struct Drop {
    /// Which
    #[command(flatten)]
    pub chosen: Chosen,
}

fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time above 0, such as 500ms, 60s, 5m or 1h".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let number: u32 = number.parse().ok().filter(|number| *number > 0).ok_or_else(expected)?;
    Ok(Duration::from_millis(u64::from(number) * milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        let read = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(["5ms", "60s", "5m", "2h"].map(read), [Ok(5), Ok(60_000), Ok(300_000), Ok(7_200_000)]);
        for wrong in ["", "60", "s", "0s", "-1s", "1.5s", "9999999999s", "1 s", "1d"] {
            assert!(duration(wrong).unwrap_err().contains("60s"), "{wrong}");
        }
    }
}

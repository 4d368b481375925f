//! Looks after the dead letters.
//!
//! Each command reads all of them, in order and one at a time; what it does not change is where it was afterwards, also when
//! the command is killed. Meanwhile nobody else can look.

mod shown;

use crate::{
    cli::dlq::{Chosen, Dlq, List, Requeue, Show, Which},
    config::Config,
    print,
};
use anyhow::Context;
use runtime::{
    Broker, Clock,
    broker::{DeadLetter, DeadLetters, RequeueError, requeue},
    clock::System,
};
use serde_json::{Value, json};
use shown::{Letter, Summary};
use std::{sync::Arc, time::Duration};

/// Does what `dlq` asks for.
pub async fn run(config: &Config, dlq: &Dlq) -> anyhow::Result<()> {
    if let Dlq::Requeue(Requeue { chosen, .. }) | Dlq::Drop(crate::cli::dlq::Drop { chosen }) = dlq {
        anyhow::ensure!(
            chosen.all || !chosen.which.is_all(),
            "say which dead letters: --job, --tenant, --queue or --reason, or --all for every one"
        );
    }
    let patience = Duration::from_millis(config.broker.connect_timeout_ms);
    let broker = runtime::broker::connect(&config.broker.url, patience).await.context("broker.url")?;
    let mut letters = broker.dead_letters().await?;
    let done = work(&broker, &mut *letters, dlq).await;
    let closed = letters.close().await.context("putting the dead letters back");
    let said = done?;
    closed?;
    print(&said)
}

/// Returns what is to be printed.
async fn work(broker: &Arc<dyn Broker>, letters: &mut dyn DeadLetters, dlq: &Dlq) -> anyhow::Result<String> {
    match dlq {
        Dlq::List(asked) => list(letters, asked).await,
        Dlq::Show(asked) => show(letters, asked).await,
        Dlq::Requeue(asked) => {
            let mut done = Done::new(&asked.chosen);
            let ended = put_to_work(&**broker, letters, asked, &mut done).await;
            done.tell(ended, "requeued")
        }
        Dlq::Drop(asked) => {
            let mut done = Done::new(&asked.chosen);
            let ended = take_away(letters, &asked.chosen, &mut done).await;
            done.tell(ended, "dropped")
        }
    }
}

/// The next that `which` means.
async fn next(letters: &mut dyn DeadLetters, which: &Which) -> anyhow::Result<Option<(Summary, DeadLetter)>> {
    while let Some(letter) = letters.next().await? {
        let summary = Summary::of(&letter, System.now());
        if fits(which, &letter, &summary) {
            return Ok(Some((summary, letter)));
        }
    }
    Ok(None)
}

fn fits(which: &Which, letter: &DeadLetter, summary: &Summary) -> bool {
    let is_job = |job: &String| summary.id == *job || summary.id.split('.').next() == Some(job);
    which.tenant.as_ref().is_none_or(|tenant| summary.tenant.as_ref() == Some(tenant))
        && which.queue.as_ref().is_none_or(|queue| letter.queue == *queue || letter.home() == queue)
        && which.reason.is_none_or(|reason| letter.reason == reason)
        && which.job.as_ref().is_none_or(is_job)
}

async fn list(letters: &mut dyn DeadLetters, asked: &List) -> anyhow::Result<String> {
    let (mut seen, mut more) = (Vec::new(), 0);
    while let Some((summary, _)) = next(letters, &asked.which).await? {
        if seen.len() < asked.limit { seen.push(summary) } else { more += 1 }
    }
    if asked.json {
        return Ok(format!("{:#}\n", json!(seen)));
    }
    Ok(shown::table(&seen, more))
}

async fn show(letters: &mut dyn DeadLetters, asked: &Show) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    while seen.len() < asked.limit
        && let Some((summary, letter)) = next(letters, &asked.which).await?
    {
        seen.push(Letter::new(summary, &letter));
    }
    anyhow::ensure!(!seen.is_empty(), "no such dead letter; `frontdesk dlq list` shows which there are");
    if asked.json {
        return Ok(format!("{:#}\n", json!(seen)));
    }
    Ok(seen.iter().map(|letter| format!("{letter}\n")).collect())
}

async fn put_to_work(
    broker: &dyn Broker,
    letters: &mut dyn DeadLetters,
    asked: &Requeue,
    done: &mut Done<'_>,
) -> anyhow::Result<()> {
    while done.wants_more()
        && let Some((summary, letter)) = next(letters, &asked.chosen.which).await?
    {
        match requeue(broker, letters, &letter, System.now(), asked.deadline).await {
            Ok(()) => done.jobs.push((summary, letter.home().into())),
            Err(error @ RequeueError::Unreadable) => done.left.push((summary, error.to_string())),
            Err(RequeueError::Broker(error)) => {
                return Err(error).with_context(|| format!("requeueing {} to {}", summary.id, letter.home()));
            }
        }
    }
    Ok(())
}

async fn take_away(letters: &mut dyn DeadLetters, chosen: &Chosen, done: &mut Done<'_>) -> anyhow::Result<()> {
    while done.wants_more()
        && let Some((summary, letter)) = next(letters, &chosen.which).await?
    {
        letters.remove(&letter).await?;
        done.jobs.push((summary, String::new()));
    }
    Ok(())
}

/// What a command has done.
struct Done<'a> {
    chosen: &'a Chosen,
    /// With the queue that each went to.
    jobs: Vec<(Summary, String)>,
    /// What was left where it was, and why.
    left: Vec<(Summary, String)>,
}

impl<'a> Done<'a> {
    fn new(chosen: &'a Chosen) -> Self {
        Self { chosen, jobs: Vec::new(), left: Vec::new() }
    }

    fn wants_more(&self) -> bool {
        self.chosen.limit.is_none_or(|limit| self.jobs.len() < limit)
    }

    /// What was done is told also when it `ended` early, or left some.
    fn tell(self, ended: anyhow::Result<()>, did: &str) -> anyhow::Result<String> {
        let jobs: Vec<&str> = self.jobs.iter().map(|(summary, _)| summary.id.as_str()).collect();
        let left: Vec<Value> =
            self.left.iter().map(|(summary, why)| json!({ "job": summary.id, "why": why })).collect();
        let mut text = if self.chosen.json {
            format!("{:#}\n", json!({ did: jobs, "left": left }))
        } else {
            let to = |queue: &str| if queue.is_empty() { String::new() } else { format!(" to {queue}") };
            self.jobs.iter().map(|(summary, queue)| format!("{did} {}{}\n", summary.id, to(queue))).collect()
        };
        if !self.chosen.json {
            text.push_str(&format!("{} {did}\n", self.jobs.len()));
        }
        let whole = ended.and_then(|()| self.check());
        match whole {
            Ok(()) => Ok(text),
            Err(error) => {
                print(&text)?;
                Err(error)
            }
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        if let Some((summary, why)) = self.left.first() {
            anyhow::bail!("{} were left, such as {}: {why}", self.left.len(), summary.id);
        }
        let job = self.chosen.which.job.as_ref().filter(|_| self.jobs.is_empty());
        anyhow::ensure!(job.is_none(), "no such dead letter; `frontdesk dlq list` shows which there are");
        Ok(())
    }
}

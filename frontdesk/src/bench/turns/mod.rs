//! `frontdesk bench turns`: a gateway as its clients see it, and beside it a proxy under the same load.

mod asker;
pub mod echo;
mod idle;
mod load;
mod observe;
mod schedule;
mod wire;

use super::{
    figures::{Figures, Unit, Who},
    trace::Sample,
};
use crate::{
    cli::{Route, TurnsBench},
    print,
};
use anyhow::{Context, ensure};
use asker::{Asker, Server, Way};
use load::Outcome;
use observe::{Counted, Ports, Watched};
use runtime::{Random, clock::System};
use schedule::Schedule;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Connections of an open load; more requests than that are never in flight.
const OPEN: usize = 256;
/// What making ready left to do is done by then.
const SETTLE: Duration = Duration::from_millis(300);
/// Before the first measurement of a side.
const WARM_UP: Duration = Duration::from_secs(1);
/// The rate at which latency is measured is so much of the highest one.
const SHARE: f64 = 0.5;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Measures and prints the table.
pub fn run(bench: &TurnsBench) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the load")?;
    runtime.block_on(async {
        if let Some(sessions) = bench.idle {
            return idle::run(bench, sessions).await;
        }
        let mut desk = Desk::open(bench).await?;
        print(&desk.title())?;
        for round in 0..bench.repeat {
            desk.round(round).await?;
        }
        print(&desk.figures.to_string())?;
        print(&desk.remarks())?;
        let Some(file) = &bench.json else { return Ok(()) };
        let all = json!({"path": format!("{:?}", bench.route), "rates": desk.rates(), "figures": desk.figures, "errors": desk.errors});
        std::fs::write(file, format!("{all:#}\n")).with_context(|| file.display().to_string())
    })
}

/// One server under load.
struct Side {
    who: Who,
    server: Arc<Server>,
    watched: Option<Watched>,
    /// Requests per second while latency is measured, once it is known.
    rate: Option<f64>,
}

struct Desk<'a> {
    bench: &'a TurnsBench,
    sides: Vec<Side>,
    upstream: Option<Arc<Server>>,
    ports: Ports,
    figures: Figures,
    /// What was no good answer, by side and code.
    errors: BTreeMap<String, u64>,
}

impl<'a> Desk<'a> {
    async fn open(bench: &'a TurnsBench) -> anyhow::Result<Self> {
        let server =
            |flag, url, key| Ok::<_, anyhow::Error>(Arc::new(Server::new(flag, url, key, &bench.model, bench.stream)?));
        let side = |who, server, pid: Option<u32>| {
            let watched = pid.map(Watched::new).transpose()?;
            let rate = bench.rate.filter(|_| who == Who::Ours).map(f64::from);
            Ok::<_, anyhow::Error>(Side { who, server, watched, rate })
        };
        let mut sides = vec![side(Who::Ours, server("--url", &bench.url, &bench.key)?, bench.pid)?];
        if let Some(url) = &bench.against {
            ensure!(bench.route == Route::PassThrough, "--against takes the load of --path pass-through only");
            sides.push(side(Who::Peer, server("--against", url, &bench.against_key)?, bench.against_pid)?);
        }
        let upstream = bench.upstream.as_deref().filter(|_| bench.route == Route::PassThrough);
        let upstream = upstream.map(|url| server("--upstream", url, "")).transpose()?;
        let ports = Ports::open(bench.redis.as_deref(), &bench.metrics).await?;
        Ok(Self { bench, sides, upstream, ports, figures: Figures::default(), errors: BTreeMap::new() })
    }

    fn title(&self) -> String {
        let TurnsBench { route, over, connections, seconds, repeat, .. } = self.bench;
        let over = if matches!(route, Route::Turns | Route::Faq | Route::Cached) {
            format!(" over {over:?}")
        } else {
            String::new()
        };
        let arrival = if self.bench.poisson { "Poisson" } else { "even" };
        format!(
            "{route:?}{over}: highest rate of {connections} connections, then {arrival} arrivals, latency from the due time; \
             {seconds} s each, {repeat} rounds\n\n"
        )
    }

    /// Measures everything once; every other round the peer begins.
    async fn round(&mut self, round: u32) -> anyhow::Result<()> {
        if round > 0 {
            self.sides.reverse();
        }
        for at in 0..self.sides.len() {
            if round == 0 {
                let server = self.sides[at].server.clone();
                load::run(self.askers(&server, self.bench.connections.into()).await?, WARM_UP, None).await?;
            }
            self.highest(at).await?;
            self.latency(at).await?;
        }
        Ok(())
    }

    async fn askers(&self, server: &Arc<Server>, count: usize) -> anyhow::Result<Vec<Asker>> {
        let TurnsBench { route, over, question, .. } = self.bench;
        let way = Way { route: *route, over: *over, question: question.clone() };
        let new = || Asker::new(server.clone(), way.clone());
        let mut askers: Vec<_> = (0..count).map(|_| new()).collect();
        load::prepare(&mut askers).await?;
        tokio::time::sleep(SETTLE).await;
        Ok(askers)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.bench.seconds)
    }

    /// How many requests there are in a second at most.
    async fn highest(&mut self, at: usize) -> anyhow::Result<()> {
        let askers = self.askers(&self.sides[at].server, self.bench.connections.into()).await?;
        let before = self.sides[at].seconds();
        let outcome = load::run(askers, self.length(), None).await?;
        let side = &mut self.sides[at];
        let cpu = side.seconds().zip(before).map(|(now, before)| now - before).filter(|cpu| *cpu > 0.0);
        let rate = outcome.answers() / outcome.seconds;
        ensure!(rate > 0.0, "no request was answered: {:?}", outcome.errors);
        side.rate.get_or_insert((rate * SHARE).max(1.0));
        let sample = Sample { value: rate, per_cpu: cpu.map(|cpu| outcome.answers() / cpu) };
        let (who, memory) = (side.who, side.watched.as_ref().and_then(Watched::memory));
        self.figures.add("highest rate", Unit::RequestsPerSecond, who, Some(sample));
        self.figures.add("memory under load", Unit::Mebibytes, who, memory.map(Sample::from));
        self.note(who, &outcome);
        Ok(())
    }

    /// How long requests take at the given rate, and how much of that is the upstream's.
    async fn latency(&mut self, at: usize) -> anyhow::Result<()> {
        let (who, server) = (self.sides[at].who, self.sides[at].server.clone());
        let rate = self.sides[at].rate.context("a rate")?;
        let askers = self.askers(&server, OPEN).await?;
        let before = self.ports.counted().await?;
        let outcome = load::run(askers, self.length(), Some(self.schedule(rate))).await?;
        let turns = self.ports.counted().await?.since(before, outcome.answers().max(1.0));
        self.note(who, &outcome);
        for (name, share) in QUANTILES {
            self.figures.add(&format!("latency {name}"), Unit::Seconds, who, Some(outcome.quantile(share).into()));
        }
        if let Some(upstream) = self.upstream.clone() {
            let askers = self.askers(&upstream, OPEN).await?;
            let alone = load::run(askers, self.length(), Some(self.schedule(rate))).await?;
            // The median is taken off every quantile, so that nothing is taken off that is not the upstream's.
            let usual = alone.quantile(0.5);
            for (name, share) in QUANTILES {
                let added = (outcome.quantile(share) - usual).max(0.0);
                self.figures.add(&format!("added latency {name}"), Unit::Seconds, who, Some(added.into()));
            }
            let late = alone.quantile(0.99);
            self.figures.add("the upstream alone p99", Unit::Seconds, who, Some(late.into()));
        }
        if who == Who::Ours {
            self.costs(turns);
        }
        Ok(())
    }

    fn costs(&mut self, turns: Counted) {
        let Counted { stored, moved, published } = turns;
        for (name, unit, value) in [
            ("Redis, kept per turn", Unit::Bytes, stored),
            ("Redis, moved per turn", Unit::Bytes, moved),
            ("broker messages per turn", Unit::Count, published),
        ] {
            if value.is_some() {
                self.figures.add(name, unit, Who::Ours, value.map(Sample::from));
            }
        }
    }

    fn schedule(&self, rate: f64) -> Schedule {
        match self.bench.poisson {
            true => Schedule::poisson(rate, self.length(), System.seed()),
            false => Schedule::even(rate, self.length()),
        }
    }

    fn note(&mut self, who: Who, outcome: &Outcome) {
        for (code, count) in &outcome.errors {
            *self.errors.entry(format!("{who:?} {code}").to_lowercase()).or_default() += count;
        }
    }

    fn rates(&self) -> BTreeMap<String, f64> {
        self.sides.iter().filter_map(|side| Some((format!("{:?}", side.who).to_lowercase(), side.rate?))).collect()
    }

    /// What the table does not hold.
    fn remarks(&self) -> String {
        let rates: Vec<_> = self.rates().iter().map(|(who, rate)| format!("{who} {rate:.0}")).collect();
        let errors: Vec<_> = self.errors.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let errors = if errors.is_empty() { "none".into() } else { errors.join(", ") };
        format!("\nRequests per second while latency was measured: {}. Errors: {errors}.\n", rates.join(", "))
    }
}

impl Side {
    fn seconds(&self) -> Option<f64> {
        self.watched.as_ref()?.seconds()
    }
}

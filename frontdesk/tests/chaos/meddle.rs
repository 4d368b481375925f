//! Duplicates what goes through the broker, and lets frames overtake each other.

use fastrand::Rng;
use protocol::{Event, Reply};
use runtime::testing::{Extra, Seen, Tap};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Of a thousand messages of a kind, so many are duplicated.
const JOBS: u32 = 60;
const FRAMES: u32 = 60;
const PEERS: u32 = 30;
/// Of a thousand batches of frames, so many are followed by one that should come much later.
const AHEAD: u32 = 2;

/// How many messages it has added.
#[derive(Debug, Default)]
pub struct Counts {
    pub jobs: AtomicU64,
    pub frames: AtomicU64,
    pub peers: AtomicU64,
    pub ahead: AtomicU64,
}

/// Meddles with what is published on the broker at `url` until the tap is dropped.
pub fn start(url: String, mut rng: Rng) -> (Tap, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    let count = counts.clone();
    let tap = Tap::start(url, move |seen| answer(&seen, &mut rng, &count));
    (tap, counts)
}

fn answer(seen: &Seen, rng: &mut Rng, counts: &Counts) -> Vec<Extra> {
    let (of_thousand, count) = match seen.key.split('.').next() {
        Some("q") => (JOBS, &counts.jobs),
        Some("replies") => (FRAMES, &counts.frames),
        Some("peers") => (PEERS, &counts.peers),
        _ => return Vec::new(),
    };
    // The junk that fills a queue is enough as it is.
    if seen.body.len() < 16 {
        return Vec::new();
    }
    let mut extras = Vec::new();
    let after = Duration::from_millis(rng.u64(0..400));
    if rng.u32(0..1_000) < of_thousand {
        extras.push(Extra { after, body: seen.body.clone() });
        count.fetch_add(1, Ordering::Relaxed);
    }
    if rng.u32(0..1_000) < AHEAD
        && let Some(body) = ahead(&seen.body)
    {
        extras.push(Extra { after, body: body.into() });
        counts.ahead.fetch_add(1, Ordering::Relaxed);
    }
    extras
}

/// A frame of the same stream from beyond its end, so that those before it seem to be missing.
fn ahead(body: &[u8]) -> Option<Vec<u8>> {
    let reply: Reply = serde_json::from_slice(body).ok()?;
    let seq = reply.seq + 10_000;
    serde_json::to_vec(&Reply { seq, events: vec![Event::token("from the future ", 1)], ..reply }).ok()
}

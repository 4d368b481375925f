//! How fast an engine is: `cargo bench -p worker-gpu -- <engine> <models dir> [prompt tokens] [generated tokens] [sequences]`.
//!
//! Prints wall and processor time, since the wall tells little on a busy machine.

use protocol::{ChatMessage, Priority, Role, Sampling, TenantId};
use std::{collections::BTreeSet, error::Error, path::Path, time::Instant};
use worker_gpu::{Config, Engine, Output, Request, SequenceId};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [engine, dir, ..] = args.as_slice() else {
        println!("usage: engine <engine> <models dir> [prompt tokens] [generated tokens] [sequences]");
        return Ok(());
    };
    let number = |at: usize, default: u32| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (prompt, generated) = (number(2, 256), number(3, 64));
    let config = Config { engine: engine.clone(), max_sequences: 16, waiting: 64, ..Config::default() };
    let mut engine = worker_gpu::open(&config, Path::new(dir))?;
    println!("{}: a prompt of about {prompt} tokens; answers of {generated} to prompts of 64", engine.model());
    let begin = Moment::now()?;
    let prefilled = add(&mut *engine, 0, prompt, 1)?;
    while !engine.is_idle() {
        engine.step()?;
    }
    println!("prefill of {prefilled}: {} tok/s", begin.rates(&Moment::now()?, prefilled));
    let only: Option<u64> = args.get(4).and_then(|arg| arg.parse().ok());
    for sequences in only.map_or(vec![1, 4, 8, 16], |only| vec![only]) {
        println!("decode of {sequences:2}: {} tok/s", decode(&mut *engine, sequences, generated)?);
    }
    Ok(())
}

/// From the step at which the last sequence has spoken until all have ended.
fn decode(engine: &mut dyn Engine, sequences: u64, generated: u32) -> Result<String, Box<dyn Error>> {
    for id in 0..sequences {
        add(engine, id, 64, generated)?;
    }
    let (mut silent, mut decoded) = (BTreeSet::from_iter(0..sequences), 0u32);
    let mut begin = Moment::now()?;
    while !engine.is_idle() {
        let was_silent = !silent.is_empty();
        for output in engine.step()? {
            if let Output::Token { id, tokens, .. } = output {
                silent.remove(&id.0);
                decoded += if was_silent { 0 } else { tokens };
            }
        }
        if was_silent {
            begin = Moment::now()?;
        }
    }
    Ok(begin.rates(&Moment::now()?, decoded))
}

fn add(engine: &mut dyn Engine, id: u64, prompt: u32, generated: u32) -> Result<u32, Box<dyn Error>> {
    let messages = vec![ChatMessage::new(Role::User, text(id, prompt))];
    let sampling = Sampling { max_tokens: generated, temperature: 0.0, top_p: 1.0, seed: id, stop: Vec::new() };
    let request = Request {
        id: SequenceId(id),
        messages,
        prefix: String::new(),
        sampling,
        tenant: TenantId::parse("bench")?,
        priority: Priority::Interactive,
        weight: 1,
    };
    Ok(engine.add(request)?.prompt_tokens)
}

struct Moment {
    wall: Instant,
    cpu: f64,
}

impl Moment {
    fn now() -> Result<Self, Box<dyn Error>> {
        // utime and stime of this process, in ticks of 10 ms.
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        Ok(Self { wall: Instant::now(), cpu: (ticks(11) + ticks(12)) / 100.0 })
    }

    fn rates(&self, later: &Self, tokens: u32) -> String {
        let tokens = f64::from(tokens);
        let (wall, cpu) = ((later.wall - self.wall).as_secs_f64(), later.cpu - self.cpu);
        format!("{:.1} (per cpu-second {:.1})", tokens / wall, tokens / cpu)
    }
}

/// A text of about `tokens` tokens that begins differently for each `id`.
fn text(id: u64, tokens: u32) -> String {
    let words = ["order", "parcel", "refund", "password", "invoice", "support", "account", "delivery", "question"];
    let word = |n: u64| words[((n * 7 + id * 13) % words.len() as u64) as usize];
    (0..u64::from(tokens)).map(|n| format!(" {}", word(n))).collect()
}

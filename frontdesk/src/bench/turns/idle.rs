//! What sessions and WebSockets cost while nobody asks.

use super::{
    asker::{Server, broken, last},
    observe::{Ports, Watched, own_files, sum},
    wire::{Connection, Socket},
};
use crate::{bench::figures::write_aligned, cli::TurnsBench, print};
use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
    time::Duration,
};

/// Sessions that are opened at once.
const AT_ONCE: usize = 32;
/// Turns that run at once while their memory is looked at, this often.
const RUNNING: usize = 500;
const SAMPLE: Duration = Duration::from_millis(10);
/// Files and connections besides the sockets.
const SPARE: f64 = 200.0;
/// Memory is read once it has settled.
const SETTLE: Duration = Duration::from_secs(2);
const MESSAGE: &[u8] = br#"{"type":"message","content":"Where is my order? Its number is 4711."}"#;

/// Opens `sessions`, then WebSockets of some, then has each of these answer once.
pub async fn run(bench: &TurnsBench, sessions: u32) -> anyhow::Result<()> {
    let gateway = Watched::new(bench.pid.context("--idle needs the gateway's --pid")?)?;
    ensure!(bench.sockets <= sessions, "--sockets {}: at most as many as --idle", bench.sockets);
    for (whose, files) in [("this shell", own_files()), ("the gateway", gateway.files())] {
        let needed = f64::from(bench.sockets) + SPARE;
        let enough = files.is_none_or(|files| files >= needed);
        ensure!(
            enough,
            "{whose} may open too few files for {} sockets: ulimit -n {needed} before it is started",
            bench.sockets
        );
    }
    let server = Arc::new(Server::new("--url", &bench.url, &bench.key, "", false)?);
    let mut ports = Ports::open(bench.redis.as_deref(), &[]).await?;
    let mut table = Table::default();
    let memory = || gateway.memory().context("the gateway's memory");

    // Its pools and caches are filled first, so that the sessions alone are counted.
    open(&server, sessions.min(1_000)).await?;
    let (before, stored) = (settled(memory).await?, ports.counted().await?);
    let opened = open(&server, sessions).await?;
    let after = settled(memory).await?;
    let held = in_memory(&server).await?;
    ensure!(
        held >= f64::from(sessions),
        "only {held} sessions are in memory: raise session.max_sessions and session.idle_ms"
    );
    table.add("session in memory, idle", opened.len(), after - before);
    if let Some((now, before)) = ports.counted().await?.stored.zip(stored.stored) {
        table.add("session in Redis, empty", opened.len(), now - before);
    }
    if bench.sockets > 0 {
        let before = after;
        let mut sockets = connect(&server, &opened[..bench.sockets as usize]).await?;
        let idle = settled(memory).await?;
        table.add("open WebSocket, idle", sockets.len(), idle - before);
        let (first, rest) = sockets.split_at_mut(RUNNING.min(bench.sockets as usize));
        let most = peak(ask(first, RUNNING), memory).await?;
        table.add("session while its turn runs", first.len(), most - idle);
        ask(rest, AT_ONCE).await?;
        table.add("session after its first turn", sockets.len(), settled(memory).await? - idle);
    }
    table.0.push(["gateway in all".into(), String::new(), format!("{:.1} MiB", memory()? / f64::from(1 << 20))]);
    print(&table.to_string())
}

/// How many sessions the gateway says it holds.
async fn in_memory(server: &Server) -> anyhow::Result<f64> {
    let mut connection = Connection::open(server.address).await.context("--url")?;
    let reply = connection.ask(&server.request("GET", "/metrics", "")).await.context("--url")?;
    Ok(sum(&String::from_utf8_lossy(&reply.body), runtime::metric::SESSIONS_ACTIVE))
}

async fn settled(memory: impl Fn() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    tokio::time::sleep(SETTLE).await;
    memory()
}

/// New sessions, each held in memory by an actor of its own.
async fn open(server: &Arc<Server>, count: u32) -> anyhow::Result<Vec<String>> {
    let share = |number: usize| count as usize / AT_ONCE + usize::from(number < count as usize % AT_ONCE);
    let opened = (0..AT_ONCE).map(|number| some(server.clone(), share(number)));
    let opened: Vec<Vec<String>> = stream::iter(opened).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(opened.into_iter().flatten().collect())
}

async fn some(server: Arc<Server>, count: usize) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(server.address).await.context("--url")?;
    let mut opened = Vec::new();
    for _ in 0..count {
        let session = server.create(&mut connection).await.map_err(anyhow::Error::msg).context("creating a session")?;
        // Nothing is to be stopped, but an actor must be there to know.
        let reply = connection.ask(&server.request("POST", &format!("/v1/sessions/{session}/stop"), "")).await?;
        ensure!(reply.status < 300, "waking a session: status {}", reply.status);
        opened.push(session);
    }
    Ok(opened)
}

async fn connect(server: &Arc<Server>, sessions: &[String]) -> anyhow::Result<Vec<Socket>> {
    let sockets = sessions.iter().map(|session| server.socket(session));
    let sockets: Result<Vec<_>, String> = stream::iter(sockets).buffered(AT_ONCE).try_collect().await;
    sockets.map_err(anyhow::Error::msg).context("opening WebSockets")
}

/// The most memory while `work` is done.
async fn peak(
    work: impl Future<Output = anyhow::Result<()>>,
    memory: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<f64> {
    let (mut most, mut often) = (0.0f64, tokio::time::interval(SAMPLE));
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done.map(|()| most),
            _ = often.tick() => most = most.max(memory()?),
        }
    }
}

/// Each socket asks once, so many of them at a time.
async fn ask(sockets: &mut [Socket], at_once: usize) -> anyhow::Result<()> {
    let turns = sockets.iter_mut().map(|socket| async {
        socket.send(MESSAGE).await.map_err(broken)?;
        last(socket).await.map(drop)
    });
    let turns: Result<Vec<()>, String> = stream::iter(turns).buffer_unordered(at_once).try_collect().await;
    turns.map(|_| ()).map_err(anyhow::Error::msg).context("a turn on a WebSocket")
}

/// What, how many of it, and bytes of each.
#[derive(Default)]
struct Table(Vec<[String; 3]>);

impl Table {
    fn add(&mut self, name: &str, count: usize, bytes: f64) {
        self.0.push([name.into(), count.to_string(), format!("{:.0} bytes", bytes / count as f64)]);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head = ["", "count", "each"].map(String::from);
        let lines: Vec<Vec<String>> = std::iter::once(&head).chain(&self.0).map(|line| line.to_vec()).collect();
        write_aligned(f, &lines)
    }
}

//! The servers start, stop and come back, and nothing of them stays.

use super::{Extra, Process, Proxy, RabbitMq, Redis, Tap, free_port, is_open};
use crate::{Message, broker};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str, home: &TempDir) -> Process {
    Process::start("sh", Command::new("sh").args(["-c", script]), &home.path().join("log"))
}

fn runs(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("exe").read_link().is_ok()
}

#[test]
fn a_process_ends_with_all_it_started() {
    let home = TempDir::new().unwrap();
    let mut process = shell("sleep 600 & echo started $!; wait", &home);
    let line = process.wait_for_line("started", SOON);
    let (parent, child) = (process.pid().to_string(), line.trim_start_matches("started ").to_owned());
    assert!(runs(&parent) && runs(&child));
    drop(process);
    let deadline = Instant::now() + SOON;
    while runs(&child) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!runs(&parent) && !runs(&child));
}

#[test]
fn a_process_that_fails_shows_its_log() {
    let home = TempDir::new().unwrap();
    let mut process = shell("echo no such thing >&2; exit 3", &home);
    let waiting = catch_unwind(AssertUnwindSafe(|| process.wait_for_port(free_port(), SOON)));
    let message = waiting.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no such thing") && message.contains("exit status: 3"), "{message}");
    assert_eq!(process.wait_for_exit(SOON).code(), Some(3));
}

#[test]
fn a_process_that_is_halted_goes_on_later() {
    let home = TempDir::new().unwrap();
    let mut process = shell("while sleep 0.01; do echo tick; done", &home);
    process.wait_for_line("tick", SOON);
    process.pause();
    std::thread::sleep(Duration::from_millis(50));
    let halted = process.log();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(process.log(), halted);
    process.resume();
    let deadline = Instant::now() + SOON;
    while process.log() == halted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(process.log() > halted);
}

#[test]
fn a_door_is_slow_as_long_as_it_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = Proxy::start(server.local_addr().unwrap().port());
    let mut client = TcpStream::connect(("127.0.0.1", door.port())).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    let mut pass = || {
        let begin = Instant::now();
        client.write_all(b"x").unwrap();
        accepted.read_exact(&mut [0]).unwrap();
        begin.elapsed()
    };
    let delay = Duration::from_millis(200);
    assert!(pass() < delay);
    door.slow(delay);
    assert!(pass() >= delay);
    door.open();
    assert!(pass() < delay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_repeats_what_it_wants_and_never_itself() {
    let server = RabbitMq::start_traced();
    let tap = Tap::start(server.url(), |seen| {
        let late = |ms, body| Extra { after: Duration::from_millis(ms), body };
        if seen.key == "replies.a" { vec![late(1, seen.body), late(100, "more".into())] } else { Vec::new() }
    });
    let broker = broker::connect(&server.url(), SOON).await.unwrap();
    let mut replies = broker.replies("replies.a").await.unwrap();
    let mut came = Vec::new();
    let deadline = Instant::now() + SOON;
    // The tap may not listen yet.
    while came.len() < 3 && Instant::now() < deadline {
        came.clear();
        broker.publish("replies.a", Message { body: "once".into(), ttl: None }).await.unwrap();
        while let Ok(Some(reply)) = tokio::time::timeout(Duration::from_millis(300), replies.recv()).await {
            came.push(reply);
        }
    }
    let reply = |body: &'static str| broker::Incoming::Reply(body.into());
    assert_eq!(came, [reply("once"), reply("once"), reply("more")]);
    assert_eq!(tap.published(), 2);
}

#[test]
fn redis_comes_back_on_its_port_without_or_with_its_data() {
    for (mut server, expected) in [(Redis::start(), None), (Redis::start_durable(), Some("v".to_owned()))] {
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        redis::cmd("SET").arg("k").arg("v").exec(&mut connection).unwrap();
        server.kill();
        assert!(!is_open(server.port()));
        server.start_again();
        let value: Option<String> = redis::cmd("GET").arg("k").query(&mut client.get_connection().unwrap()).unwrap();
        assert_eq!(value, expected);
        server.restart();
    }
}

#[test]
fn rabbitmq_restarts_on_its_port_and_leaves_nothing() {
    let mut server = RabbitMq::start();
    assert_eq!(server.queues(), []);
    server.restart();
    let (port, mapper) = (server.port(), server.mapper_port());
    assert!(is_open(port) && is_open(mapper));
    drop(server);
    let deadline = Instant::now() + SOON;
    while (is_open(port) || is_open(mapper)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!is_open(port) && !is_open(mapper));
}

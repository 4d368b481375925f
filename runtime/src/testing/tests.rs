//! The servers start, stop and come back, and nothing of them stays.

use super::{Process, RabbitMq, Redis, free_port, is_open};
use std::{
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

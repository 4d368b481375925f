//! The load generator on a running system.

use crate::harness::{ECHO, KEY, System, binary, root};
use runtime::testing::{Process, free_port};
use std::{
    process::{Command, Output},
    time::Duration,
};
use tokio::task::spawn_blocking;

/// A short measurement of everything.
fn measure(url: &str, pid: u32, flags: &[&str]) -> String {
    let pid = pid.to_string();
    let mut args = vec!["bench", "turns", "--url", url, "--key", KEY, "--pid", &pid];
    args.extend(["--seconds", "1", "--repeat", "1", "--connections", "4", "--rate", "20"]);
    args.extend(flags);
    let Output { status, stdout, stderr } = Command::new(binary()).args(&args).current_dir(root()).output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{flags:?}: {err}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_a_request_is_measured_without_an_error() {
    let echo = format!("127.0.0.1:{}", free_port());
    let base = format!("http://{echo}/v1");
    let upstreams = format!("gateway.upstreams=[{{model=\"echo\",url=\"{base}\"}}]");
    let system = System::new(&[ECHO, &["--set", &upstreams]].concat());
    let mut server = Command::new(binary());
    let log = system.dir.path().join("echo.log");
    let mut server = Process::start("echo", server.args(["bench", "echo", "--on", &echo]), &log);
    server.wait_for_line(&base, Duration::from_secs(20));
    let all = system.start("all", &[]).ready().await;
    let (url, pid) = (all.url.clone(), all.process.pid());
    let metrics = url.clone();
    let runs = [
        vec!["--upstream".to_string(), base.clone(), "--against".into(), base],
        vec!["--path".into(), "repeat".into()],
        vec!["--path".into(), "turns".into(), "--poisson".into(), "--metrics".into(), metrics],
        vec!["--path".into(), "turns".into(), "--over".into(), "websocket".into()],
        vec!["--idle".into(), "40".into(), "--sockets".into(), "5".into()],
    ];
    let runs = runs.map(|flags| {
        let url = url.clone();
        spawn_blocking(move || measure(&url, pid, &flags.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let mut tables = Vec::new();
    for run in runs {
        tables.push(run.await.unwrap());
    }
    assert!(tables[0].contains("added latency p99") && tables[0].contains("peer"), "{}", tables[0]);
    assert!(
        tables[..4].iter().all(|table| table.contains("highest rate") && table.contains("Errors: none")),
        "{tables:?}"
    );
    let messages = tables[2].lines().find(|line| line.contains("broker messages per turn"));
    let median = messages.and_then(|line| line.split('|').nth(3)?.trim().parse::<f64>().ok());
    assert!(median.is_some_and(|each| each >= 4.0), "a turn has two jobs and their answers: {}", tables[2]);
    assert!(
        tables[4].contains("open WebSocket, idle") && tables[4].contains("session after its first turn"),
        "{}",
        tables[4]
    );
}

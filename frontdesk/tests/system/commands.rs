//! The command line and the configuration.

use crate::harness::{ECHO, KEY, System, binary, root};
use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn frontdesk(args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(root()).output().unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = frontdesk(args);
    assert!(!output.status.success(), "{args:?} was accepted");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn help_lists_every_role() {
    let help = String::from_utf8(frontdesk(&["--help"]).stdout).unwrap();
    for word in ["all", "gateway", "worker-gpu", "worker-retrieval", "doctor", "--listen", "--data-dir", "--config"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn a_bad_value_is_refused_with_its_key_and_what_was_expected() {
    let demo = ["all", "--demo", "deploy/demo", "--set"];
    for (setting, words) in [
        ("gateway.workers=many", ["gateway.workers", "many"]),
        ("gateway.lisen=127.0.0.1:1", ["gateway.lisen", "listen"]),
        ("inference.max_sequences=0", ["inference.max_sequences", "0"]),
        ("retrieval.embedder=magic:", ["retrieval.embedder", "fastembed:"]),
        ("session.store=mongodb://x", ["session.store", "redis://"]),
        ("broker.url=kafka://x", ["broker.url", "amqp://"]),
        ("telemetry.log_format=loud", ["telemetry.log_format", "json"]),
    ] {
        let error = refused(&[&demo[..], &[setting]].concat());
        assert!(words.iter().all(|word| error.contains(word)), "{setting}: {error}");
    }
}

#[test]
fn a_role_alone_refuses_memory() {
    let error = refused(&["gateway", "--demo", "deploy/demo"]);
    assert!(error.contains("broker.url") && error.contains("session.store") && error.contains("alone"), "{error}");
    assert!(refused(&["worker-gpu"]).contains("broker.url"));
}

#[test]
fn nobody_to_serve_is_an_error() {
    assert!(refused(&["all"]).contains("[[tenants]]"));
}

#[test]
fn environment_stands_between_file_and_flags() {
    let system = System::new(&[]);
    let args: Vec<&str> = system.args.iter().map(String::as_str).collect();
    let run = |extra: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("doctor").args(&args).args(extra).env("FRONTDESK_BROKER__URL", "carrier-pigeon:");
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(run(&[]).contains("carrier-pigeon"), "{}", run(&[]));
    assert!(!run(&["--set", "broker.url=kafka:"]).contains("carrier-pigeon"));
}

#[test]
fn a_key_hashes_to_what_the_demo_tenant_has() {
    let mut child =
        Command::new(binary()).arg("hash-key").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"demo-key\n").unwrap();
    let hash = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let tenant = std::fs::read_to_string(root().join("deploy/demo/tenant.toml")).unwrap();
    assert!(tenant.contains(hash.trim()), "{hash}");
}

#[tokio::test]
async fn the_engine_is_measured_beside_a_server() {
    let system = System::new(ECHO);
    let server = system.start("all", &[]).ready().await;
    let (against, key) = (format!("{}/v1", server.url), format!("inference.openai_key={KEY}"));
    let file = system.dir.path().join("figures.json").display().to_string();
    let mut args = vec!["bench", "engine", "--model", "echo:", "--prompt=80", "--generate=8", "--sequences=1,3"];
    args.extend(["--session=90", "--repeat=2", "--against", &against, "--against-model=echo", "--set", &key]);
    let output = frontdesk(&[&args[..], &["--json", &file]].concat());
    let (table, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{log}");
    let rows = ["prefill", "1 at once: decode", "3 at once: TTFT p50", "3 at once: TPOT p50", "second turn: TTFT"];
    assert!(rows.iter().all(|row| table.contains(row)) && table.contains("ratio"), "{table}");
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(figures["models"], serde_json::json!(["echo", "echo"]));
    assert_eq!(figures["prompt_tokens"][0], 80);
    for row in figures["figures"].as_array().unwrap() {
        // The gateway sends so short an answer as one frame, which has no time from token to token.
        let in_one_frame = ["TPOT", "decode"].iter().any(|kind| row["name"].as_str().unwrap().contains(kind));
        assert_eq!(row["ours"].as_array().unwrap().len(), 2, "{row}");
        assert!(in_one_frame || row["peer"].as_array().unwrap().len() == 2, "{row}");
    }
    assert!(refused(&["bench", "engine", "--model", "vllm:"]).contains("inference.engine"));
}

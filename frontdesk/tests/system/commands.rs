//! The command line and the configuration.

use crate::harness::{System, binary, root};
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

//! The unmodified OpenAI SDK for Python.

use crate::harness::{ECHO, KEY, System, cache, root};
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn openai_python_streams_answers_fails_and_times_out() {
    let python = cache().join("venv/bin/python");
    assert!(python.is_file(), "{}: missing; run deploy/install/test.sh", python.display());
    let fast = System::new(ECHO).start("all", &[]).ready().await;
    let slow_engine = ["--set", "inference.engine=echo:?delay_ms=3000", "--set", "retrieval.embedder=hashing:"];
    let slow_system = System::new(&slow_engine);
    let slow = slow_system.start("all", &[]).ready().await;
    let model_engine = ["--set", "inference.engine=candle:SmolLM2-135M-Instruct.Q4_1.gguf"];
    let model_system = System::new(&[&model_engine[..], &["--set", "retrieval.embedder=hashing:"]].concat());
    let model = model_system.start("all", &[]).ready().await;
    let script = root().join("frontdesk/tests/system/openai_client.py");
    let output = Command::new(python).arg(script).args([&fast.url, &slow.url, &model.url, KEY]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}\n{}", fast.process.log());
    assert!(out.contains("9 cases passed"), "{out}");
}

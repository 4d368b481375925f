//! Model files on the device: the tiny models of `tests/models` as transformers computes them, and GGUF's four-bit blocks as
//! candle reads them.

use super::{close, on_devices};
use crate::{
    config::Config,
    cuda::{int4::Grouped, linear::Matrix, load, open::open_on, runner::CudaRunner, space::Limits},
    engine::{Engine, Output},
    local::{Batch, Chosen, Runner, tests::request_of},
    schedule::BlockId,
    weights::{Checkpoint, Data, Weight},
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use protocol::Sampling;
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// Those whose heads are large enough for tensor cores.
const MODELS: [&str; 2] = ["qwen3", "qwen2"];

fn dir(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "models", name].iter().collect()
}

/// Token ids of the cases in `golden.json`.
fn prompts(name: &str) -> Vec<Vec<u32>> {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir(name).join("golden.json")).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap().clone();
    cases.into_iter().map(|case| serde_json::from_value(case["prompt"].clone()).unwrap()).collect()
}

#[test]
fn logits_are_those_of_transformers_but_for_rounding() {
    on_devices(|device, _| {
        for name in MODELS {
            let path = dir(name);
            let checkpoint = Checkpoint::open(&path).unwrap();
            let model = load::model(device, &checkpoint, &path, checkpoint.shape.context).unwrap();
            let limits = Limits { rows: 200, sequences: 1, blocks: 8 };
            let mut runner = CudaRunner::new(model, limits, 4 << 20).unwrap();
            let golden: HashMap<String, Tensor> =
                candle_core::safetensors::load(path.join("golden.safetensors"), &Device::Cpu).unwrap();
            for prompt in prompts(name) {
                let expected = golden[&format!("logits.{}", prompt.len())].to_vec1::<f32>().unwrap();
                let blocks: Vec<BlockId> = (0..8).rev().collect();
                let mut batch = Batch::default();
                batch.push(&blocks, 0, &prompt);
                batch.want(None);
                let Chosen::Logits(found) = runner.forward(&batch).unwrap().remove(0) else { panic!() };
                let wide = |floats: &[f32]| floats.iter().copied().map(f64::from).collect::<Vec<_>>();
                // The weights are rounded, too: the files hold them in 32 bits.
                close(&wide(&found), &wide(&expected), 0.05);
            }
        }
    });
}

#[test]
fn an_engine_answers_from_files_and_without_any() {
    let config = Config { max_sequences: 3, context_tokens: 128, batch_tokens: 40, ..Config::default() };
    on_devices(|device, _| {
        for path in [dir("qwen3"), "dummy:tiny".into(), "dummy:tiny-int4".into()] {
            let clock = Arc::new(runtime::clock::System);
            let mut engine = open_on(device, &config, &path, clock).unwrap();
            let texts = answers(&mut engine, 3);
            assert!(!texts[0].is_empty() && texts[0] == texts[1] && texts[1] == texts[2], "{texts:?}");
        }
    });
}

/// What an engine answers when it is asked the same several times at once.
fn answers(engine: &mut dyn Engine, times: usize) -> Vec<String> {
    for id in 0..times {
        let sampling = Sampling { max_tokens: 12, temperature: 0.0, ..Sampling::default() };
        engine.add(request_of(id as u64, "Where is my parcel?", sampling)).unwrap();
    }
    let mut texts = vec![String::new(); times];
    while !engine.is_idle() {
        for output in engine.step().unwrap() {
            match output {
                Output::Token { id, text, .. } => texts[id.0 as usize] += &text,
                Output::Failed(_, failure) => panic!("{failure:?}"),
                Output::Started(_) | Output::Aside { .. } | Output::Finished { .. } => {}
            }
        }
    }
    texts
}

#[test]
fn a_model_that_the_kernels_do_not_know_is_refused() {
    on_devices(|device, _| {
        let clock = Arc::new(runtime::clock::System);
        let Err(error) = open_on(device, &Config::default(), &dir("llama"), clock) else { panic!("it was opened") };
        assert!(
            error.to_string().ends_with("heads of 8 elements; the GPU's kernels know [16, 32, 64, 128]"),
            "{error}"
        );
    });
}

#[test]
fn too_little_memory_is_told_with_what_is_needed() {
    on_devices(|device, _| {
        let config = Config { memory_fraction: 1e-6, ..Config::default() };
        let clock = Arc::new(runtime::clock::System);
        let Err(error) = open_on(device, &config, &dir("llama"), clock) else { panic!("it was opened") };
        assert!(error.to_string().contains("inference.memory_fraction = 0.000001 leaves"), "{error}");
    });
}

/// Every weight but for the rounding of scales to f16.
#[test]
fn four_bit_blocks_keep_their_values() {
    const OUTPUTS: usize = 16;
    const INPUTS: usize = 512;
    for dtype in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q4K] {
        let floats = Tensor::randn(0f32, 1f32, (OUTPUTS, INPUTS), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&floats, dtype).unwrap();
        let expected: Vec<f32> = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let data = Data::Blocks(dtype, tensor.data().unwrap().to_vec());
        let Matrix::Int4(read) = Matrix::read(Weight { outputs: OUTPUTS, inputs: INPUTS, data }).unwrap() else {
            panic!("{dtype:?} is not kept in four bits");
        };
        let Grouped { quants, scales, group, .. } = read;
        for (at, expected) in expected.into_iter().enumerate() {
            let (scale, bias) = scales[at / group];
            let found = (f32::from(quants[at]) - 8.0) * scale + bias;
            assert!((found - expected).abs() < 1e-5, "{dtype:?} {at}: {found} {expected}");
        }
    }
}

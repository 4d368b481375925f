//! Logits against the reference.

use super::{
    super::{Builder, kv::KvCache},
    reference,
    tiny::{Tiny, Written},
};
use crate::{
    local::Batch,
    schedule::{BLOCK, BlockId},
    weights::Checkpoint,
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};

/// Two sequences, prefilled in chunks beside each other; returns the logits after each chunk.
fn packed(tiny: &Tiny, written: &Written, tokens: [&[u32]; 2], chunk: usize) -> Vec<(usize, usize, Vec<f32>)> {
    let checkpoint = Checkpoint::open(&written.path).unwrap();
    let shape = &checkpoint.shape;
    assert_eq!((shape.head_dim, shape.layers), (tiny.head_dim(), Tiny::LAYERS));
    let model = Builder { path: &written.path, checkpoint: &checkpoint }.model(128).unwrap();
    let mut cache = KvCache::new(shape.layers, shape.kv_heads, shape.head_dim, 16);
    // In no order, as blocks are after a while.
    let blocks = |first: BlockId, tokens: &[u32]| {
        (0..tokens.len().div_ceil(BLOCK) as BlockId).map(|n| (first + 5 * n) % 16).collect::<Vec<_>>()
    };
    let tables = [blocks(3, tokens[0]), blocks(0, tokens[1])];
    let mut found = Vec::new();
    for start in (0..tokens[0].len().max(tokens[1].len())).step_by(chunk) {
        let mut batch = Batch::default();
        let mut ends = Vec::new();
        for (which, tokens) in tokens.iter().enumerate().filter(|(_, tokens)| start < tokens.len()) {
            let end = (start + chunk).min(tokens.len());
            batch.push(&tables[which], start, &tokens[start..end]);
            batch.want(None);
            ends.push((which, end - 1));
        }
        let logits = model.forward(&batch, &mut cache);
        found.extend(ends.into_iter().zip(logits).map(|((which, last), logits)| (which, last, logits)));
    }
    found
}

fn worst_difference(tiny: &Tiny, chunk: usize) -> f64 {
    worst_difference_of(tiny, &tiny.write(), chunk)
}

fn worst_difference_of(tiny: &Tiny, written: &Written, chunk: usize) -> f64 {
    let long: Vec<u32> = (0..75).map(|n| n * 37 % 251).collect();
    let short: Vec<u32> = (0..11).map(|n| n * 53 % 269).collect();
    let expected = [&long, &short].map(|tokens| reference::logits(tiny, written, tokens));
    let mut worst = 0.0f64;
    for (which, last, logits) in packed(tiny, written, [&long, &short], chunk) {
        for (found, expected) in logits.iter().zip(&expected[which][last]) {
            worst = worst.max((f64::from(*found) - expected).abs());
        }
    }
    worst
}

#[test]
fn logits_are_those_of_the_reference_whole_and_in_chunks() {
    for arch in ["qwen2", "qwen3", "llama"] {
        for chunk in [1, 7, 32, 100] {
            let worst = worst_difference(&Tiny::exact(arch), chunk);
            assert!(worst < 1e-4, "{arch} in chunks of {chunk}: {worst}");
        }
    }
}

#[test]
fn quantized_logits_stay_near_the_reference() {
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::Q4_1] {
        let worst = worst_difference(&Tiny::quantized("qwen2", dtype), 16);
        assert!((1e-5..1.0).contains(&worst), "{dtype:?}: {worst}");
    }
}

/// Where a prompt is cut and what runs beside it decides nothing, bit for bit.
#[test]
fn chunks_and_neighbours_change_no_bit() {
    let quantized = [GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::Q4K].map(|dtype| Tiny::quantized("qwen3", dtype));
    for tiny in [Tiny::exact("qwen2"), Tiny::exact("llama")].iter().chain(&quantized) {
        let written = tiny.write();
        let [long, short]: [Vec<u32>; 2] =
            [(75, 37), (11, 53)].map(|(len, n)| (0..len).map(|at| at * n % 251).collect());
        let alone = |tokens: &[u32]| {
            let steps = packed(tiny, &written, [tokens, &[]], 1).into_iter();
            steps.map(|(_, _, logits)| logits).collect::<Vec<_>>()
        };
        let expected = [alone(&long), alone(&short)];
        for chunk in [1, 2, 5, 9, 32, 100] {
            for (which, last, logits) in packed(tiny, &written, [&long, &short], chunk) {
                assert!(logits == expected[which][last], "{tiny:?}: token {last} in chunks of {chunk}");
            }
        }
    }
}

/// Every format of llama.cpp's usual files is read: the model is that of the weights to which they were rounded.
#[test]
fn every_usual_format_is_read() {
    use GgmlDType::{F16, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    for dtype in [F16, Q8_0, Q6K, Q5K, Q5_1, Q5_0, Q4K, Q4_1, Q4_0, Q3K, Q2K] {
        let tiny = Tiny::quantized("qwen3", dtype);
        let mut written = tiny.write();
        for (_, weights) in written.weights.iter_mut().filter(|(name, _)| !name.contains("norm")) {
            let exact = Tensor::from_slice(weights, weights.len(), &Device::Cpu).unwrap();
            let rounded = QTensor::quantize(&exact, dtype).unwrap().dequantize(&Device::Cpu).unwrap();
            *weights = rounded.to_vec1().unwrap();
        }
        let worst = worst_difference_of(&tiny, &written, 16);
        println!("{dtype:?}: {worst}");
        assert!(worst < if dtype == F16 { 1e-3 } else { 0.25 }, "{dtype:?}: {worst}");
    }
}

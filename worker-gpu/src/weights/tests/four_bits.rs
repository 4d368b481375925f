//! AWQ and GPTQ: matrices quantized here by the published formats come back.

use super::{configure, copy};
use crate::weights::{Checkpoint, Data, Int4, LayerPart, Part};
use candle_core::{
    Device,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path};

const GROUP: usize = 32;
/// The output projection of the tiny models' last layer.
const PART: Part = Part::Layer(2, LayerPart::Output);
const BASE: &str = "model.layers.2.self_attn.o_proj";
const SIZE: usize = 64;

/// A quantized matrix `[SIZE][SIZE]`, number by number.
struct Matrix;

impl Matrix {
    fn q(&self, output: usize, input: usize) -> u32 {
        ((output * 7 + input * 5 + output * input) % 16) as u32
    }

    fn zero(&self, output: usize, group: usize) -> u32 {
        ((output + 9 * group) % 15 + 1) as u32
    }

    fn scale(&self, output: usize, group: usize) -> f16 {
        f16::from_f32((output + 1) as f32 / 512.0 + group as f32 / 100.0)
    }

    fn weight(&self, output: usize, input: usize) -> f32 {
        let group = input / GROUP;
        self.scale(output, group).to_f32() * (self.q(output, input) as f32 - self.zero(output, group) as f32)
    }
}

/// Eight four-bit numbers in a word; the number `order[i]` is the `i`-th from below.
fn word(order: [usize; 8], number: impl Fn(usize) -> u32) -> u32 {
    order.iter().enumerate().map(|(place, which)| number(*which) << (4 * place)).sum()
}

const PLAIN: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
/// The order of columns in AutoAWQ's packing.
const AWQ: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

/// The words of the zeros, `[groups][outputs / 8]`, with `offset` taken off.
fn zeros(order: [usize; 8], offset: u32) -> Vec<u32> {
    let of = |group: usize, column: usize| word(order, |n| Matrix.zero(8 * column + n, group) - offset);
    (0..SIZE / GROUP).flat_map(|group| (0..SIZE / 8).map(move |column| of(group, column))).collect()
}

/// Words and how many rows of them: AWQ packs outputs.
fn awq() -> (usize, Vec<u32>) {
    let of = |input: usize, column: usize| word(AWQ, |n| Matrix.q(8 * column + n, input));
    (SIZE, (0..SIZE).flat_map(|input| (0..SIZE / 8).map(move |column| of(input, column))).collect())
}

/// GPTQ packs inputs.
fn gptq() -> (usize, Vec<u32>) {
    let of = |row: usize, output: usize| word(PLAIN, |n| Matrix.q(output, 8 * row + n));
    (SIZE / 8, (0..SIZE / 8).flat_map(|row| (0..SIZE).map(move |output| of(row, output))).collect())
}

/// Replaces the output projection of a tiny model by a quantized one.
fn write(dir: &Path, config: &Value, (rows, words): (usize, Vec<u32>), zeros: Vec<u32>, order: Option<Vec<u32>>) {
    let path = dir.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let old = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let dims = |words: &[u32], rows: usize| vec![rows, words.len() / rows];
    let packed = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let scales: Vec<u8> = (0..SIZE / GROUP)
        .flat_map(|group| (0..SIZE).flat_map(move |output| Matrix.scale(output, group).to_le_bytes()))
        .collect();
    let mut new: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)> = HashMap::from([
        (format!("{BASE}.qweight"), (Dtype::I32, dims(&words, rows), packed(&words))),
        (format!("{BASE}.qzeros"), (Dtype::I32, dims(&zeros, SIZE / GROUP), packed(&zeros))),
        (format!("{BASE}.scales"), (Dtype::F16, vec![SIZE / GROUP, SIZE], scales)),
    ]);
    if let Some(order) = order {
        new.insert(format!("{BASE}.g_idx"), (Dtype::I32, vec![SIZE], packed(&order)));
    }
    for (name, view) in old.iter().filter(|(name, _)| !name.starts_with(BASE)) {
        new.insert(name.into(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    }
    let views =
        new.iter().map(|(name, (dtype, dims, data))| (name, TensorView::new(*dtype, dims.clone(), data).unwrap()));
    let written = safetensors::serialize(views, None).unwrap();
    std::fs::write(path, written).unwrap();
    configure(dir, &json!({"quantization_config": config}));
}

fn read(dir: &Path) -> Result<Int4, String> {
    let checkpoint = Checkpoint::open(dir).map_err(|error| error.to_string())?;
    match checkpoint.matrix(PART).map_err(|error| error.to_string())?.data {
        Data::Int4(int4) => Ok(int4),
        _ => Err("not of four bits".into()),
    }
}

fn is_the_matrix(int4: &Int4) {
    assert_eq!((int4.group, int4.packed.len()), (GROUP, SIZE * SIZE / 2));
    let q8 = qtensor_from_ggml(GgmlDType::Q8_0, &int4.q8_0(), vec![SIZE, SIZE], &Device::Cpu).unwrap();
    let found = q8.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
    for (output, row) in found.iter().enumerate() {
        let expected: Vec<f32> = (0..SIZE).map(|input| Matrix.weight(output, input)).collect();
        assert_eq!(row, &expected, "output {output}");
    }
}

fn gptq_config(changes: &Value) -> Value {
    let mut config = json!({"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": false, "sym": false});
    changes.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    config
}

#[test]
fn awq_comes_back() {
    let dir = copy("qwen2");
    let config = json!({"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": true, "version": "gemm"});
    write(dir.path(), &config, awq(), zeros(AWQ, 0), None);
    is_the_matrix(&read(dir.path()).unwrap());
}

#[test]
fn both_versions_of_gptq_come_back() {
    let order = (0..SIZE as u32).map(|input| input / GROUP as u32).collect();
    let dir = copy("qwen2");
    write(dir.path(), &gptq_config(&json!({})), gptq(), zeros(PLAIN, 1), Some(order));
    is_the_matrix(&read(dir.path()).unwrap());
    let dir = copy("qwen2");
    write(dir.path(), &gptq_config(&json!({"checkpoint_format": "gptq_v2"})), gptq(), zeros(PLAIN, 0), None);
    is_the_matrix(&read(dir.path()).unwrap());
}

#[test]
fn what_cannot_be_read_is_refused() {
    let error = |config: &Value, order: Option<Vec<u32>>| {
        let dir = copy("qwen2");
        write(dir.path(), config, gptq(), zeros(PLAIN, 1), order);
        read(dir.path()).unwrap_err()
    };
    let wrong = |changes: Value| error(&gptq_config(&changes), None);
    for (changes, key) in [
        (json!({"desc_act": true}), "quantization_config.desc_act: true"),
        (json!({"bits": 8}), "quantization_config.bits: Some(8)"),
        (json!({"group_size": -1}), "quantization_config.group_size"),
        (json!({"checkpoint_format": "marlin"}), "quantization_config.checkpoint_format"),
        (json!({"quant_method": "awq", "version": "gemv"}), "quantization_config.version"),
        (json!({"quant_method": "bitsandbytes"}), "quantization_config.quant_method"),
        (json!({"group_size": 64}), "qzeros: shape [2, 8], expected [1, 8]"),
        (json!({"quant_method": "awq"}), "qweight: shape [8, 64], expected [64, 8]"),
    ] {
        let message = wrong(changes);
        assert!(message.contains(key), "{key} is not in {message}");
    }
    let shuffled = (0..SIZE as u32).map(|input| input % 2).collect();
    assert!(error(&gptq_config(&json!({})), Some(shuffled)).contains("g_idx"));
}

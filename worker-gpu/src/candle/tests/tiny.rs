//! Writes tiny random models.

use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value},
};
use std::{collections::BTreeMap, fs::File, path::PathBuf};

/// The template of all tiny models.
pub const TEMPLATE: &str = "{% if tools %}<tool_call>{\"name\": x, \"arguments\": y}</tool_call>{% endif %}\
                            {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                            {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
pub const VOCABULARY: usize = 272;

/// A model to write.
#[derive(Debug, Clone)]
pub struct Tiny {
    pub arch: &'static str,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub feed_forward: usize,
    pub tied: bool,
    pub dtype: GgmlDType,
    /// Whether every byte has a token, so that any text can be written.
    pub bytes: bool,
}

/// A written model with its weights as they were before quantization.
pub struct Written {
    pub path: PathBuf,
    pub weights: BTreeMap<String, Vec<f32>>,
    _dir: tempfile::TempDir,
}

impl Tiny {
    /// Floats, so that results can be compared closely.
    pub fn exact(arch: &'static str) -> Self {
        Self {
            arch,
            hidden: 48,
            heads: 6,
            kv_heads: 2,
            feed_forward: 80,
            tied: arch == "qwen3",
            dtype: GgmlDType::F32,
            bytes: false,
        }
    }

    /// Wide enough for the quantized kernels that real models use.
    pub fn quantized(arch: &'static str, dtype: GgmlDType) -> Self {
        Self { arch, hidden: 256, heads: 4, kv_heads: 2, feed_forward: 512, tied: false, dtype, bytes: false }
    }

    /// Qwen3's heads are wider than their share.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads * if self.arch == "qwen3" { 2 } else { 1 }
    }

    pub const LAYERS: usize = 2;

    pub fn write(&self) -> Written {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.gguf");
        let mut numbers = Numbers(0x5eed);
        let weights: BTreeMap<String, Vec<f32>> =
            self.shapes().into_iter().map(|(name, shape)| (name.clone(), numbers.weights(&name, &shape))).collect();
        let shapes = self.shapes();
        let tensors: Vec<(&str, QTensor)> =
            weights.iter().map(|(name, data)| (name.as_str(), self.tensor(data, &shapes[name]))).collect();
        let metadata = self.metadata();
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &tensors).unwrap();
        Written { path, weights, _dir: dir }
    }

    fn tensor(&self, data: &[f32], shape: &[usize]) -> QTensor {
        let tensor = Tensor::from_slice(data, shape, &Device::Cpu).unwrap();
        let dtype = if shape.len() == 1 { GgmlDType::F32 } else { self.dtype };
        QTensor::quantize(&tensor, dtype).unwrap()
    }

    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let (q, kv) = (self.heads * self.head_dim(), self.kv_heads * self.head_dim());
        let (hidden, ff) = (self.hidden, self.feed_forward);
        let mut shapes = BTreeMap::from([
            ("token_embd.weight".to_string(), vec![VOCABULARY, hidden]),
            ("output_norm.weight".to_string(), vec![hidden]),
        ]);
        if !self.tied {
            shapes.insert("output.weight".into(), vec![VOCABULARY, hidden]);
        }
        for layer in 0..Self::LAYERS {
            let mut add = |name: &str, shape: Vec<usize>| shapes.insert(format!("blk.{layer}.{name}"), shape);
            add("attn_norm.weight", vec![hidden]);
            add("ffn_norm.weight", vec![hidden]);
            for (name, out, inp) in [
                ("attn_q", q, hidden),
                ("attn_k", kv, hidden),
                ("attn_v", kv, hidden),
                ("attn_output", hidden, q),
                ("ffn_gate", ff, hidden),
                ("ffn_up", ff, hidden),
                ("ffn_down", hidden, ff),
            ] {
                add(&format!("{name}.weight"), vec![out, inp]);
            }
            if self.arch == "qwen2" {
                for (name, n) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)] {
                    add(&format!("{name}.bias"), vec![n]);
                }
            }
            if self.arch == "qwen3" {
                for name in ["attn_q_norm", "attn_k_norm"] {
                    add(&format!("{name}.weight"), vec![self.head_dim()]);
                }
            }
        }
        shapes
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let own = |key: &str, value: Value| (format!("{}.{key}", self.arch), value);
        let general = |key: &str, value: Value| (key.to_string(), value);
        let size = |n: usize| Value::U32(n as u32);
        let strings = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect());
        let kinds = (0..VOCABULARY).map(|id| Value::I32(if id >= VOCABULARY - 2 { 3 } else { 1 })).collect();
        vec![
            general("general.architecture", Value::String(self.arch.into())),
            own("block_count", size(Self::LAYERS)),
            own("context_length", size(512)),
            own("embedding_length", size(self.hidden)),
            own("feed_forward_length", size(self.feed_forward)),
            own("attention.head_count", size(self.heads)),
            own("attention.head_count_kv", size(self.kv_heads)),
            own("attention.key_length", size(self.head_dim())),
            own("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            own("rope.freq_base", Value::F32(5_000.0)),
            general("tokenizer.ggml.model", Value::String("gpt2".into())),
            general("tokenizer.ggml.pre", Value::String("qwen2".into())),
            general("tokenizer.ggml.tokens", strings(vocabulary(self.bytes))),
            general("tokenizer.ggml.token_type", Value::Array(kinds)),
            general("tokenizer.ggml.merges", strings(vec!["h e".into()])),
            general("tokenizer.ggml.eos_token_id", size(VOCABULARY - 1)),
            general("tokenizer.chat_template", Value::String(TEMPLATE.into())),
        ]
    }
}

/// What a prompt of plain letters needs, one merge, then tokens whose texts tell them apart, and two special ones.
fn vocabulary(bytes: bool) -> Vec<String> {
    let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
    tokens.extend(["Ġ", "Ċ", "he"].map(String::from));
    // Byte-level vocabularies write these bytes as these characters: GPT-2's `bytes_to_unicode`.
    let high = ('\u{a1}'..='\u{ac}').chain('\u{ae}'..='\u{ff}').chain('\u{121}'..='\u{143}');
    tokens.extend(high.filter(|_| bytes).map(String::from));
    tokens.extend((tokens.len()..VOCABULARY - 2).map(|id| format!("[{id}]")));
    tokens.extend(["<|im_start|>", "<|im_end|>"].map(String::from));
    tokens
}

/// Repeatable numbers.
struct Numbers(u64);

impl Numbers {
    fn weights(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let is_norm = name.contains("norm");
        let spread = if shape.len() == 2 { 1.7 / (shape[1] as f32).sqrt() } else { 0.3 };
        let weight = |number: f32| if is_norm { 1.0 + 0.2 * number } else { spread * number };
        (0..shape.iter().product()).map(|_| weight(self.next())).collect()
    }

    /// Between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

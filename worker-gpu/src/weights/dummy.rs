//! Models of known shapes with random weights: speed can be measured without a download. They answer nonsense.

use super::{Architecture, Data, Float, Info, Int4, Kind, LayerPart, Pairing, Part, Shape, Weight};
use half::f16;
use rayon::prelude::*;
use std::path::Path;

/// What a dummy's path begins with.
const SCHEME: &str = "dummy:";
/// What the name of a dummy with weights of four bits ends with.
const FOUR_BITS: &str = "-int4";
/// Inputs that share a scale.
const GROUP: usize = 128;
/// Bytes that are drawn at once.
const PIECE: usize = 1 << 16;

/// Sizes as the models' publishers state them: name, architecture, layers, hidden, feed-forward, heads, KV heads, head
/// size, vocabulary, tied, rotary base.
type Row = (&'static str, Architecture, [usize; 7], bool, f64);

#[rustfmt::skip]
const MODELS: [Row; 10] = [
    ("tiny", Architecture::Qwen3, [2, 128, 256, 4, 2, 32, 512], true, 1e6),
    ("qwen3-0.6b", Architecture::Qwen3, [28, 1024, 3072, 16, 8, 128, 151_936], true, 1e6),
    ("qwen3-1.7b", Architecture::Qwen3, [28, 2048, 6144, 16, 8, 128, 151_936], true, 1e6),
    ("qwen3-4b", Architecture::Qwen3, [36, 2560, 9728, 32, 8, 128, 151_936], true, 1e6),
    ("qwen3-8b", Architecture::Qwen3, [36, 4096, 12_288, 32, 8, 128, 151_936], false, 1e6),
    ("qwen3-14b", Architecture::Qwen3, [40, 5120, 17_408, 40, 8, 128, 151_936], false, 1e6),
    ("qwen3-32b", Architecture::Qwen3, [64, 5120, 25_600, 64, 8, 128, 151_936], false, 1e6),
    ("qwen2.5-1.5b", Architecture::Qwen2, [28, 1536, 8960, 12, 2, 128, 151_936], true, 1e6),
    ("qwen2.5-7b", Architecture::Qwen2, [28, 3584, 18_944, 28, 4, 128, 152_064], false, 1e6),
    ("llama-3.1-8b", Architecture::Llama, [32, 4096, 14_336, 32, 8, 128, 128_256], false, 5e5),
];
/// The longest sequence, in tokens.
const CONTEXT: usize = 32_768;

/// A model without files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dummy {
    four_bits: bool,
}

/// The dummy's name, if `path` is one's: `dummy:qwen3-14b`, or `dummy:qwen3-14b-int4` with weights of four bits.
pub(crate) fn dummy_name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(SCHEME)
}

impl Dummy {
    /// The error is a sentence for an operator.
    pub fn open(name: &str) -> Result<(Shape, Self), String> {
        let (base, four_bits) = name.strip_suffix(FOUR_BITS).map_or((name, false), |base| (base, true));
        let found = MODELS.iter().find(|(known, ..)| *known == base);
        let names = || MODELS.map(|(known, ..)| known).join(", ");
        let row = found.ok_or_else(|| format!("no such dummy; there are {}, each also with {FOUR_BITS}", names()))?;
        Ok((shape(row), Self { four_bits }))
    }

    fn is_narrow(self, part: Part) -> bool {
        use LayerPart::{Down, Gate, Key, Output, Query, Up, Value};
        self.four_bits && matches!(part, Part::Layer(_, Query | Key | Value | Output | Gate | Up | Down))
    }

    pub fn info(self, shape: &Shape, part: Part) -> Info {
        let dims = shape.dims(part);
        match self.is_narrow(part) {
            true => Info { dims: vec![dims[1], dims[0] / 8], kind: Kind::I32 },
            false => Info { dims, kind: Kind::Float(Float::Bf16) },
        }
    }

    /// A matrix of random weights, whose products are about as large as their input.
    pub fn matrix(self, shape: &Shape, part: Part) -> Weight {
        let dims = shape.dims(part);
        let (outputs, inputs) = (dims[0], dims[dims.len() - 1]);
        let data = match self.is_narrow(part) {
            true => {
                let scales = vec![f16::from_f32(0.2 / (inputs as f32).sqrt()); outputs * inputs / GROUP];
                let (packed, zeros) = (random(outputs * inputs / 2, part), vec![8; scales.len()]);
                Data::Int4(Int4 { group: GROUP, packed, scales, zeros })
            }
            false => {
                let mut bytes = random(outputs * inputs * 2, part);
                let size = half::bf16::from_f32(1.0 / (inputs as f32).sqrt()).to_bits() & 0x7f80;
                // Any sign and fraction, but this exponent.
                bytes.as_chunks_mut().0.par_iter_mut().for_each(|bytes: &mut [u8; 2]| {
                    *bytes = (u16::from_le_bytes(*bytes) & 0x807f | size).to_le_bytes();
                });
                Data::Floats(Float::Bf16, bytes)
            }
        };
        Weight { outputs, inputs, data }
    }
}

fn shape(&(_, architecture, sizes, tied, base): &Row) -> Shape {
    let [layers, hidden, feed_forward, heads, kv_heads, head_dim, vocabulary] = sizes;
    let pairs = head_dim / 2;
    Shape {
        architecture,
        layers,
        hidden,
        feed_forward,
        heads,
        kv_heads,
        head_dim,
        context: CONTEXT,
        epsilon: 1e-6,
        vocabulary,
        tied,
        pairing: Pairing::Halves,
        frequencies: (0..pairs).map(|pair| base.powf(-(pair as f64) / pairs as f64)).collect(),
    }
}

/// Bytes that look random; those of a part are always the same.
fn random(len: usize, part: Part) -> Vec<u8> {
    let seed = match part {
        Part::Layer(number, part) => ((number as u64 + 1) << 8) | part as u64,
        Part::Embedding | Part::Norm => 1,
        Part::Head => 2,
    };
    let mut bytes = vec![0; len];
    bytes.par_chunks_mut(PIECE).enumerate().for_each(|(piece, bytes)| {
        // Xorshift; the multiplier separates the pieces.
        let mut state = ((seed << 32) | (piece as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for eight in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qwen3_14b_has_its_parameters() {
        let (shape, _) = Dummy::open("qwen3-14b").unwrap();
        let parameters: usize = shape.parts().map(|part| shape.dims(part).iter().product::<usize>()).sum();
        assert_eq!(parameters, 14_768_307_200);
        assert_eq!(dummy_name(Path::new("dummy:tiny")), Some("tiny"));
        assert!(Dummy::open("qwen4").unwrap_err().contains("qwen3-14b, "));
    }

    #[test]
    fn weights_are_numbers_of_the_right_size() {
        for name in ["tiny", "tiny-int4"] {
            let (shape, dummy) = Dummy::open(name).unwrap();
            let part = Part::Layer(1, LayerPart::Up);
            let Weight { outputs, inputs, data } = dummy.matrix(&shape, part);
            assert_eq!((outputs, inputs), (256, 128));
            match data {
                Data::Floats(float, bytes) => {
                    let floats = float.widen(&bytes);
                    let mean = floats.iter().map(|float| float * float).sum::<f32>() / floats.len() as f32;
                    assert!((0.5..2.0).contains(&(mean * inputs as f32)), "{mean}");
                }
                Data::Int4(int4) => assert_eq!((int4.packed.len(), int4.scales.len()), (256 * 64, 256)),
                Data::Blocks(..) => panic!("blocks"),
            }
        }
    }
}

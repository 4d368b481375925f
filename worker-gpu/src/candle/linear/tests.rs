//! Products against dot products in double precision, and that nothing but its own row decides a result.

use super::{super::team::Team, *};
use candle_core::Tensor;
use rayon::ThreadPoolBuilder;
use std::cell::Cell;

/// Other numbers in each test and each run.
struct Numbers(Cell<u64>);

impl Numbers {
    fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        println!("seed {seed}");
        Self(Cell::new(seed))
    }

    /// Between -1 and 1, with a few that stand out.
    fn next(&self) -> f32 {
        self.0.set(self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let number = (self.0.get() >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
        if self.0.get() >> 32 & 0xff == 0 { number * 8.0 } else { number }
    }

    fn some(&self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

fn weight(dtype: GgmlDType, numbers: &Numbers, outputs: usize, inputs: usize) -> QTensor {
    let floats = Tensor::from_vec(numbers.some(outputs * inputs), (outputs, inputs), &Device::Cpu).unwrap();
    QTensor::quantize(&floats, dtype).unwrap()
}

fn on<R: Send>(threads: usize, work: impl FnOnce(&Team) -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| Team::gather(work))
}

fn forward(layer: &Linear, team: &Team, xs: &[f32]) -> Vec<f32> {
    let rows = xs.len() / layer.inputs;
    let mut ys = vec![0.0; rows * layer.outputs];
    layer.forward(team, rows, &|row, to| to.copy_from_slice(&xs[row * layer.inputs..][..layer.inputs]), &mut ys);
    ys
}

const FORMATS: [(GgmlDType, usize); 9] = [
    (GgmlDType::Q4K, 768),
    (GgmlDType::Q6K, 512),
    (GgmlDType::Q8_0, 96),
    (GgmlDType::Q8_0, 576),
    (GgmlDType::Q4_1, 160),
    (GgmlDType::Q5K, 256),
    (GgmlDType::F32, 83),
    (GgmlDType::F16, 80),
    (GgmlDType::BF16, 49),
];

/// The inputs become bytes: each is off by half a step at most, a step being a 127th of the largest of its block.
#[test]
fn products_are_those_of_the_weights_in_the_file() {
    let numbers = Numbers::new();
    for (dtype, inputs) in FORMATS {
        for outputs in [1, 16, 83] {
            let weight = weight(dtype, &numbers, outputs, inputs);
            let exact: Vec<f32> = weight.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let bias = numbers.some(outputs);
            let layer = Linear::new(&weight, bias.clone()).unwrap();
            let mut row = vec![0.0; inputs];
            for (output, exact) in exact.chunks_exact(inputs).enumerate() {
                layer.row(output, &mut row);
                // Requantization is off by half a step at most, and the step is a half float.
                let step = exact.iter().fold(0.0f32, |a, b| a.max(b.abs())) / 127.0;
                let close = |(found, exact): (&f32, &f32)| (found - exact).abs() <= step * 0.6;
                assert!(row.iter().zip(exact).all(close), "{dtype:?}: the weights of output {output}");
            }
            let xs = numbers.some(5 * inputs);
            let ys = on(2, |team| forward(&layer, team, &xs));
            let floats = matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
            for (x, y) in xs.chunks_exact(inputs).zip(ys.chunks_exact(outputs)) {
                let largest = x.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                for (output, found) in y.iter().enumerate() {
                    layer.row(output, &mut row);
                    let dot = |a: &[f32]| a.iter().zip(x).map(|(a, x)| f64::from(*a) * f64::from(*x)).sum::<f64>();
                    let expected = dot(&row) + f64::from(bias[output]);
                    // Five standard deviations of a sum of evenly distributed roundings.
                    let length = row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
                    let noise = 5.0 * length * f64::from(largest) / 127.0 / 12f64.sqrt();
                    let tolerance = if floats { 1e-5 } else { noise };
                    let off = (f64::from(*found) - expected).abs();
                    assert!(off <= tolerance, "{dtype:?} {inputs}: {found} instead of {expected} ± {tolerance}");
                }
            }
        }
    }
}

#[test]
fn nothing_but_its_row_decides_a_result() {
    let numbers = Numbers::new();
    for (dtype, inputs) in FORMATS {
        let [layer, narrow] = [344, 27]
            .map(|outputs| Linear::new(&weight(dtype, &numbers, outputs, inputs), vec![0.5; outputs]).unwrap());
        let xs = numbers.some(130 * inputs);
        let alone: Vec<f32> = on(1, |team| xs.chunks_exact(inputs).flat_map(|x| forward(&layer, team, x)).collect());
        for rows in (1..=17).chain([130]) {
            for first in [0, (130 - rows) / 2] {
                let xs = &xs[first * inputs..][..rows * inputs];
                let expected = &alone[first * 344..][..rows * 344];
                assert_eq!(on(3, |team| forward(&layer, team, xs)), expected, "{dtype:?}, {rows} rows");
            }
        }
        let read = |row: usize, to: &mut [f32]| to.copy_from_slice(&xs[row * inputs..][..inputs]);
        let (mut wide, mut small, mut sum) = (vec![0.0; 9 * 344], vec![0.0; 9 * 27], vec![1.5; 9 * 344]);
        on(2, |team| Linear::forward_all([&narrow, &layer], team, 9, &read, [&mut small, &mut wide]));
        assert_eq!(wide, alone[..9 * 344], "{dtype:?}, beside another layer");
        on(2, |team| layer.add(team, 9, &read, &mut sum));
        assert!(sum.iter().zip(&alone).all(|(sum, alone)| *sum == 1.5 + alone), "{dtype:?}, added");
    }
}

#[test]
fn every_instruction_set_computes_the_same_bits() {
    let numbers = Numbers::new();
    for (dtype, inputs) in FORMATS {
        let mut layer = Linear::new(&weight(dtype, &numbers, 40, inputs), Vec::new()).unwrap();
        let xs = numbers.some(14 * inputs);
        let results: Vec<(Processor, Vec<f32>)> = Processor::all()
            .map(|processor| {
                layer.processor = processor;
                (processor, on(2, |team| forward(&layer, team, &xs)))
            })
            .collect();
        for (processor, ys) in &results {
            assert_eq!(ys, &results[0].1, "{dtype:?}: {processor:?} and {:?}", results[0].0);
        }
    }
}

#[test]
fn gated_is_silu_of_the_gate_times_the_other() {
    let numbers = Numbers::new();
    let gate = Linear::new(&weight(GgmlDType::Q4K, &numbers, 100, 256), Vec::new()).unwrap();
    let up = Linear::new(&weight(GgmlDType::F16, &numbers, 100, 256), Vec::new()).unwrap();
    let xs = numbers.some(7 * 256);
    let read = |row: usize, to: &mut [f32]| to.copy_from_slice(&xs[row * 256..][..256]);
    let mut found = vec![0.0; 700];
    on(2, |team| Linear::gated(&gate, &up, team, 7, &read, &mut found));
    let [gates, ups] = [&gate, &up].map(|layer| on(2, |team| forward(layer, team, &xs)));
    for ((found, gate), up) in found.iter().zip(gates).zip(ups) {
        let expected = gate / (1.0 + (-gate).exp()) * up;
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn safetensors_floats_are_read_as_they_are() {
    let numbers = Numbers::new();
    let floats = numbers.some(3 * 20);
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    let layer = Linear::from_floats(DType::F32, &bytes, 3, 20, Vec::new()).unwrap();
    let mut row = vec![0.0; 20];
    layer.row(2, &mut row);
    assert_eq!(row, floats[40..]);
    let upper: Vec<u8> = bytes.chunks_exact(4).flat_map(|float| [float[2], float[3]]).collect();
    Linear::from_floats(DType::BF16, &upper, 3, 20, Vec::new()).unwrap().row(2, &mut row);
    assert!(row.iter().zip(&floats[40..]).all(|(found, float)| found.to_bits() == float.to_bits() & 0xffff_0000));
    assert!(Linear::from_floats(DType::F16, &upper, 3, 21, Vec::new()).is_err());
}

//! 4-bit weights: the packed layout, products of few and many rows, and widening.

use super::{BF16, Random, buffer, close, on_devices, read, unwritten, wide};
use crate::cuda::{
    device::Device,
    int4::Grouped,
    kernels::{self, Packed},
    linear::{Linear, Matrix},
};
use half::{bf16, f16};
use std::sync::Arc;

fn matrix(random: &mut Random, outputs: usize, inputs: usize, group: usize, biased: bool) -> Grouped {
    let quants = (0..outputs * inputs).map(|_| random.below(16) as u8).collect();
    let half = |value: f32| f16::from_f32(value).to_f32();
    let scales = (0..outputs * inputs / group)
        .map(|_| (half(random.signed()), if biased { half(random.signed() * 4.0) } else { 0.0 }))
        .collect();
    Grouped { outputs, inputs, group, quants, scales }
}

/// The weights in f64, `[outputs][inputs]`.
fn weights(int4: &Grouped) -> Vec<f64> {
    let groups = int4.inputs / int4.group;
    let weight = |at: usize| {
        let (scale, bias) = int4.scales[at / int4.inputs * groups + at % int4.inputs / int4.group];
        (f64::from(int4.quants[at]) - 8.0) * f64::from(scale) + f64::from(bias)
    };
    (0..int4.quants.len()).map(weight).collect()
}

fn product(x: &[bf16], weights: &[f64], inputs: usize) -> Vec<f64> {
    let dot = |x: &[bf16], w: &[f64]| x.iter().zip(w).map(|(x, w)| x.to_f64() * w).sum();
    x.chunks_exact(inputs).flat_map(|x| weights.chunks_exact(inputs).map(move |w| dot(x, w))).collect()
}

#[test]
fn packed_weights_multiply_like_their_values() {
    on_devices(|device, random| {
        for (rows, outputs, inputs, group, biased) in [
            (1, 16, 64, 32, true),
            (8, 48, 128, 64, false),
            (13, 32, 640, 128, true),
            (32, 48, 256, 32, true),
            (17, 16, 1088, 64, true),
            (70, 80, 192, 64, false),
        ] {
            let int4 = matrix(random, outputs, inputs, group, biased);
            multiply(device, random, &int4, rows);
        }
    });
}

fn multiply(device: &Arc<dyn Device>, random: &mut Random, int4: &Grouped, rows: usize) {
    let (outputs, inputs) = (int4.outputs, int4.inputs);
    let x = random.halves(rows * inputs);
    let (words, scales) = (buffer(device, &int4.words()), buffer(device, &int4.pairs()));
    let (words, scales, group, biased) = (words.all(), scales.all(), int4.group, int4.biased());
    let packed = Packed { words, scales, group, biased, outputs, inputs };
    let stride = outputs + 5;
    let out = unwritten(device, rows * stride);
    kernels::w4a16(&**device, out.all(), stride, buffer(device, &x).all(), &packed, rows).unwrap();
    let found = read(&out);
    let columns = |row: &[f64]| row[..outputs].to_vec();
    close(
        &found.chunks_exact(stride).flat_map(columns).collect::<Vec<_>>(),
        &product(&x, &weights(int4), inputs),
        BF16,
    );
    assert!(found.chunks_exact(stride).all(|row| row[outputs..].iter().all(|value| value.is_nan())));
    let widened = unwritten(device, outputs * inputs);
    kernels::widen(&**device, widened.all(), &packed).unwrap();
    close(&read(&widened), &weights(int4), BF16);
}

#[test]
fn matrices_side_by_side_are_one_product() {
    on_devices(|device, random| {
        let inputs = 128;
        let dense = |random: &mut Random, outputs: usize| random.halves(outputs * inputs);
        let (first, second, last) = (dense(random, 24), dense(random, 8), dense(random, 16));
        let narrow = [matrix(random, 32, inputs, 64, true), matrix(random, 16, inputs, 64, true)];
        let as_matrix =
            |weights: &[bf16]| Matrix::Dense { outputs: weights.len() / inputs, inputs, weights: weights.to_vec() };
        let linear = Linear::new(
            device,
            vec![
                as_matrix(&first),
                as_matrix(&second),
                Matrix::Int4(narrow[0].clone()),
                Matrix::Int4(narrow[1].clone()),
                as_matrix(&last),
            ],
        )
        .unwrap();
        let mut all = [wide(&first), wide(&second)].concat();
        narrow.iter().for_each(|int4| all.extend(weights(int4)));
        all.extend(wide(&last));
        for rows in [3, 300] {
            let x = random.halves(rows * inputs);
            let (out, scratch) = (unwritten(device, rows * linear.outputs), unwritten(device, linear.scratch()));
            linear.forward(out.all(), buffer(device, &x).all(), rows, scratch.all()).unwrap();
            close(&read(&out), &product(&x, &all, inputs), BF16);
        }
    });
}

//! Plain loops, for every processor.

use super::{Isa, LANES};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scalar;

impl Isa for Scalar {
    type Bytes = [u8; 64];
    type Ints = [i32; LANES];
    type Floats = [f32; LANES];
    const ROWS: usize = 4;

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> [u8; 64] {
        *from
    }

    #[inline(always)]
    fn low(self, bytes: [u8; 64]) -> [u8; 64] {
        bytes.map(|byte| byte & 0x0f)
    }

    #[inline(always)]
    fn high(self, bytes: [u8; 64]) -> [u8; 64] {
        bytes.map(|byte| byte >> 4)
    }

    #[inline(always)]
    fn six_bits<const QUARTER: usize>(self, low: [u8; 64], high: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|at| low[at] | ((high[at] >> (2 * QUARTER)) & 3) << 4)
    }

    #[inline(always)]
    fn int(self, value: i32) -> [i32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn unsigned(self, from: &[u8; LANES]) -> [i32; LANES] {
        from.map(i32::from)
    }

    #[inline(always)]
    fn signed(self, from: &[i8; LANES]) -> [i32; LANES] {
        from.map(i32::from)
    }

    #[inline(always)]
    fn pairs(self, from: &[u8; 2 * LANES]) -> [i32; LANES] {
        std::array::from_fn(|lane| i32::from(from[2 * lane]) | i32::from(from[2 * lane + 1]) << 16)
    }

    #[inline(always)]
    fn dot(self, sum: [i32; LANES], bytes: [u8; 64], inputs: i32) -> [i32; LANES] {
        let inputs = inputs.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        std::array::from_fn(|lane| (0..4).fold(sum[lane], |sum, at| sum + i32::from(bytes[4 * lane + at]) * inputs[at]))
    }

    #[inline(always)]
    fn dot_wide(self, sum: [i32; LANES], bytes: [u8; 64], inputs: i32) -> [i32; LANES] {
        self.dot(sum, bytes, inputs)
    }

    #[inline(always)]
    fn dot_pairs(self, sum: [i32; LANES], pairs: [i32; LANES], inputs: i32) -> [i32; LANES] {
        let product = |pairs: i32| i32::from(pairs as i16) * i32::from(inputs as i16) + (pairs >> 16) * (inputs >> 16);
        std::array::from_fn(|lane| sum[lane] + product(pairs[lane]))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn to_floats(self, ints: [i32; LANES]) -> [f32; LANES] {
        ints.map(|int| int as f32)
    }

    #[inline(always)]
    fn floats(self, from: &[f32; LANES]) -> [f32; LANES] {
        *from
    }

    #[inline(always)]
    fn halves(self, from: &[u16; LANES]) -> [f32; LANES] {
        from.map(half)
    }

    #[inline(always)]
    fn brains(self, from: &[u16; LANES]) -> [f32; LANES] {
        from.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn madd(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn nmadd(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| (-a[lane]).mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn array(self, floats: [f32; LANES]) -> [f32; LANES] {
        floats
    }

    #[inline(always)]
    fn max_abs(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| if a[lane] > b[lane].abs() { a[lane] } else { b[lane].abs() })
    }

    #[inline(always)]
    fn rounded(self, floats: [f32; LANES]) -> [i8; LANES] {
        floats.map(|float| float.round_ties_even() as i8)
    }

    #[inline(always)]
    fn prefetch_line<T>(self, _: &T) {}
}

/// The float that IEEE half precision means by `bits`.
pub(crate) fn half(bits: u16) -> f32 {
    let (sign, rest) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    // The exponent's bias is 15 there and 127 here; beyond the largest is infinity or no number.
    let rest = if rest >= 0x1f << 23 {
        f32::from_bits(rest | 0xff << 23)
    } else {
        f32::from_bits(rest) * f32::from_bits((127 + 127 - 15) << 23)
    };
    f32::from_bits(sign | rest.to_bits())
}

//! AVX2 with FMA, and AVX-VNNI where it is there: a vector is two registers.
#![expect(unsafe_code, reason = "the instructions are only there on processors that have them")]

use super::{AHEAD, Isa, Job, LANES};
use std::arch::x86_64::*;

/// Only made by [`Avx2::detect`], so whoever has one may use the instructions; this is what every `unsafe` here rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        found.then_some(Self(()))
    }

    pub fn vectorize(self, job: impl Job) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn plain<const VNNI: bool>(isa: Avx2<VNNI>, job: impl Job) {
            job.run(isa);
        }
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn vnni<const VNNI: bool>(isa: Avx2<VNNI>, job: impl Job) {
            job.run(isa);
        }
        // SAFETY: see `Avx2`.
        unsafe { if VNNI { vnni(self, job) } else { plain(self, job) } }
    }

    /// Four unsigned times four signed bytes in each lane of 32 bits.
    #[inline(always)]
    fn dot_half(self, sum: __m256i, bytes: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: see `Avx2`.
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sum, bytes, inputs);
            }
            // 2 * 127 * 128 fits 16 bits.
            let pairs = _mm256_maddubs_epi16(bytes, inputs);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    /// The same for bytes above 127, which `maddubs` would saturate.
    #[inline(always)]
    fn dot_wide_half(self, sum: __m256i, bytes: __m256i, inputs: __m256i) -> __m256i {
        if VNNI {
            return self.dot_half(sum, bytes, inputs);
        }
        // SAFETY: see `Avx2`.
        unsafe {
            let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
            let odd = _mm256_srli_epi16::<8>(bytes);
            let even_inputs = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(inputs));
            let odd_inputs = _mm256_srai_epi16::<8>(inputs);
            let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, even_inputs));
            _mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_inputs))
        }
    }
}

impl<const VNNI: bool> Isa for Avx2<VNNI> {
    type Bytes = [__m256i; 2];
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];
    const ROWS: usize = 4;

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`; 64 bytes are read.
        unsafe { [0, 32].map(|at| _mm256_loadu_si256(from.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    fn low(self, bytes: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        unsafe {
            let mask = _mm256_set1_epi8(0x0f);
            [_mm256_and_si256(bytes[0], mask), _mm256_and_si256(bytes[1], mask)]
        }
    }

    #[inline(always)]
    fn high(self, bytes: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        self.low(unsafe { [_mm256_srli_epi16::<4>(bytes[0]), _mm256_srli_epi16::<4>(bytes[1])] })
    }

    #[inline(always)]
    fn six_bits<const QUARTER: usize>(self, low: [__m256i; 2], high: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        unsafe {
            let mask = _mm256_set1_epi8(0x30);
            let mut joined = low;
            for half in 0..2 {
                let moved = match QUARTER {
                    0 => _mm256_slli_epi16::<4>(high[half]),
                    1 => _mm256_slli_epi16::<2>(high[half]),
                    2 => high[half],
                    _ => _mm256_srli_epi16::<2>(high[half]),
                };
                joined[half] = _mm256_or_si256(low[half], _mm256_and_si256(moved, mask));
            }
            joined
        }
    }

    #[inline(always)]
    fn int(self, value: i32) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_set1_epi32(value); 2] }
    }

    #[inline(always)]
    fn unsigned(self, from: &[u8; LANES]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`; twice 8 bytes are read.
        unsafe {
            let from = from.as_ptr();
            [
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    fn signed(self, from: &[i8; LANES]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`; twice 8 bytes are read.
        unsafe {
            let from = from.as_ptr();
            [
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    fn pairs(self, from: &[u8; 2 * LANES]) -> [__m256i; 2] {
        // SAFETY: see `Avx2`; twice 16 bytes are read.
        unsafe {
            let from = from.as_ptr();
            [
                _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast())),
                _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], bytes: [__m256i; 2], inputs: i32) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        let inputs = unsafe { _mm256_set1_epi32(inputs) };
        [self.dot_half(sum[0], bytes[0], inputs), self.dot_half(sum[1], bytes[1], inputs)]
    }

    #[inline(always)]
    fn dot_wide(self, sum: [__m256i; 2], bytes: [__m256i; 2], inputs: i32) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        let inputs = unsafe { _mm256_set1_epi32(inputs) };
        [self.dot_wide_half(sum[0], bytes[0], inputs), self.dot_wide_half(sum[1], bytes[1], inputs)]
    }

    #[inline(always)]
    fn dot_pairs(self, sum: [__m256i; 2], pairs: [__m256i; 2], inputs: i32) -> [__m256i; 2] {
        // SAFETY: see `Avx2`.
        unsafe {
            let inputs = _mm256_set1_epi32(inputs);
            [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(pairs[0], inputs)),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(pairs[1], inputs)),
            ]
        }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn to_floats(self, ints: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_cvtepi32_ps(ints[0]), _mm256_cvtepi32_ps(ints[1])] }
    }

    #[inline(always)]
    fn floats(self, from: &[f32; LANES]) -> [__m256; 2] {
        // SAFETY: see `Avx2`; 16 floats are read.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn halves(self, from: &[u16; LANES]) -> [__m256; 2] {
        // SAFETY: see `Avx2`; twice 16 bytes are read.
        unsafe {
            let from = from.as_ptr();
            [_mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast()))]
        }
    }

    #[inline(always)]
    fn brains(self, from: &[u16; LANES]) -> [__m256; 2] {
        // SAFETY: see `Avx2`; twice 16 bytes are read.
        unsafe {
            let from = from.as_ptr();
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(8).cast()));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high))]
        }
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn madd(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn nmadd(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe { [_mm256_fnmadd_ps(a[0], b[0], c[0]), _mm256_fnmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn array(self, floats: [__m256; 2]) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        // SAFETY: see `Avx2`; 16 floats are written.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), floats[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), floats[1]);
        }
        to
    }

    #[inline(always)]
    fn max_abs(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Avx2`.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            [_mm256_max_ps(a[0], _mm256_andnot_ps(sign, b[0])), _mm256_max_ps(a[1], _mm256_andnot_ps(sign, b[1]))]
        }
    }

    #[inline(always)]
    fn rounded(self, floats: [__m256; 2]) -> [i8; LANES] {
        let mut to = [0; LANES];
        // SAFETY: see `Avx2`; 16 bytes are written.
        unsafe {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(floats[0]), _mm256_cvtps_epi32(floats[1]));
            // Packing goes by halves of 128 bits: quarters 1 and 2 have changed places.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
        to
    }

    #[inline(always)]
    fn prefetch_line<T>(self, at: &T) {
        // SAFETY: a prefetch reads nothing that the program sees and never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast::<i8>().wrapping_add(AHEAD)) }
    }
}

//! AVX-512 with VNNI: a vector is one register.
#![expect(unsafe_code, reason = "the instructions are only there on processors that have them")]

use super::{AHEAD, Isa, Job, LANES};
use std::arch::x86_64::*;

/// Only made by [`Avx512::detect`], so whoever has one may use the instructions; this is what every `unsafe` here rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    pub fn vectorize(self, job: impl Job) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
        fn compiled(isa: Avx512, job: impl Job) {
            job.run(isa);
        }
        // SAFETY: see `Avx512`.
        unsafe { compiled(self, job) }
    }
}

impl Isa for Avx512 {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    const ROWS: usize = 8;

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> __m512i {
        // SAFETY: see `Avx512`; 64 bytes are read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn low(self, bytes: __m512i) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(0x0f)) }
    }

    #[inline(always)]
    fn high(self, bytes: __m512i) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(0x0f)) }
    }

    #[inline(always)]
    fn six_bits<const QUARTER: usize>(self, low: __m512i, high: __m512i) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe {
            let moved = match QUARTER {
                0 => _mm512_slli_epi16::<4>(high),
                1 => _mm512_slli_epi16::<2>(high),
                2 => high,
                _ => _mm512_srli_epi16::<2>(high),
            };
            _mm512_or_si512(low, _mm512_and_si512(moved, _mm512_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn unsigned(self, from: &[u8; LANES]) -> __m512i {
        // SAFETY: see `Avx512`; 16 bytes are read.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn signed(self, from: &[i8; LANES]) -> __m512i {
        // SAFETY: see `Avx512`; 16 bytes are read.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn pairs(self, from: &[u8; 2 * LANES]) -> __m512i {
        // SAFETY: see `Avx512`; 32 bytes are read.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, bytes: __m512i, inputs: i32) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_dpbusd_epi32(sum, bytes, _mm512_set1_epi32(inputs)) }
    }

    #[inline(always)]
    fn dot_wide(self, sum: __m512i, bytes: __m512i, inputs: i32) -> __m512i {
        self.dot(sum, bytes, inputs)
    }

    #[inline(always)]
    fn dot_pairs(self, sum: __m512i, pairs: __m512i, inputs: i32) -> __m512i {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(inputs)) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn to_floats(self, ints: __m512i) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_cvtepi32_ps(ints) }
    }

    #[inline(always)]
    fn floats(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: see `Avx512`; 16 floats are read.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn halves(self, from: &[u16; LANES]) -> __m512 {
        // SAFETY: see `Avx512`; 32 bytes are read.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn brains(self, from: &[u16; LANES]) -> __m512 {
        // SAFETY: see `Avx512`; 32 bytes are read.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn madd(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn nmadd(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn array(self, floats: __m512) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        // SAFETY: see `Avx512`; 16 floats are written.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), floats) };
        to
    }

    #[inline(always)]
    fn max_abs(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `Avx512`.
        unsafe { _mm512_max_ps(a, _mm512_abs_ps(b)) }
    }

    #[inline(always)]
    fn rounded(self, floats: __m512) -> [i8; LANES] {
        let mut to = [0; LANES];
        // SAFETY: see `Avx512`; 16 bytes are written.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(floats))) };
        to
    }

    #[inline(always)]
    fn prefetch_line<T>(self, at: &T) {
        // SAFETY: a prefetch reads nothing that the program sees and never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast::<i8>().wrapping_add(AHEAD)) }
    }
}

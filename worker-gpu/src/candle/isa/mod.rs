//! Vectors of sixteen lanes, one per output, in the instruction sets that a processor may have.
//!
//! Integer operations are exact and floats are multiplied and added in one rounding, in the order that the caller gives,
//! so that every instruction set computes the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

pub(crate) use scalar::half;

/// Outputs that are computed side by side.
pub(crate) const LANES: usize = 16;

/// A proof that the processor has an instruction set, and what is done with it.
///
/// "Bytes" hold four unsigned bytes for each lane, "ints" one 32-bit integer, "floats" one 32-bit float.
pub(crate) trait Isa: Copy + Send + Sync {
    type Bytes: Copy;
    type Ints: Copy;
    type Floats: Copy;

    /// Rows of inputs for which the accumulators fit the registers: 4 or 8.
    const ROWS: usize;

    fn bytes(self, from: &[u8; 64]) -> Self::Bytes;
    /// Bits 0 to 3 of each byte.
    fn low(self, bytes: Self::Bytes) -> Self::Bytes;
    /// Bits 4 to 7 of each byte.
    fn high(self, bytes: Self::Bytes) -> Self::Bytes;
    /// Each byte of `low` (0 to 15) plus 16 times the bits `2 * QUARTER` and `2 * QUARTER + 1` of `high`.
    fn six_bits<const QUARTER: usize>(self, low: Self::Bytes, high: Self::Bytes) -> Self::Bytes;

    fn int(self, value: i32) -> Self::Ints;
    fn unsigned(self, from: &[u8; LANES]) -> Self::Ints;
    fn signed(self, from: &[i8; LANES]) -> Self::Ints;
    /// Two unsigned bytes for each lane, as 16-bit integers.
    fn pairs(self, from: &[u8; 2 * LANES]) -> Self::Ints;
    /// Adds to each lane its four bytes (0 to 127) times the four signed bytes of `inputs`.
    fn dot(self, sum: Self::Ints, bytes: Self::Bytes, inputs: i32) -> Self::Ints;
    /// As [`Isa::dot`], for bytes from 0 to 255.
    fn dot_wide(self, sum: Self::Ints, bytes: Self::Bytes, inputs: i32) -> Self::Ints;
    /// Adds to each lane its two 16-bit integers times those of `inputs`.
    fn dot_pairs(self, sum: Self::Ints, pairs: Self::Ints, inputs: i32) -> Self::Ints;

    fn splat(self, value: f32) -> Self::Floats;
    fn to_floats(self, ints: Self::Ints) -> Self::Floats;
    fn floats(self, from: &[f32; LANES]) -> Self::Floats;
    /// From IEEE half precision.
    fn halves(self, from: &[u16; LANES]) -> Self::Floats;
    /// From the upper halves of 32-bit floats.
    fn brains(self, from: &[u16; LANES]) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`.
    fn madd(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c - a * b`.
    fn nmadd(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// The greater of `a` and the absolute value of `b`.
    fn max_abs(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn array(self, floats: Self::Floats) -> [f32; LANES];
    /// Rounded to the nearest integers, of ties the even ones; -128 to 127.
    fn rounded(self, floats: Self::Floats) -> [i8; LANES];

    /// Asks for the line of memory that lies [`AHEAD`] bytes beyond `at`.
    fn prefetch_line<T>(self, at: &T);

    /// Asks for what lies [`AHEAD`] bytes beyond `at`, which will be read soon.
    #[inline(always)]
    fn prefetch<T>(self, at: &[T]) {
        at.iter().step_by((LINE / size_of::<T>()).max(1)).for_each(|at| self.prefetch_line(at));
    }
}

/// Bytes that come from memory together.
const LINE: usize = 64;

/// How far weights are fetched in advance, in bytes.
const AHEAD: usize = 8192;

/// Work that is compiled once for each instruction set.
pub(crate) trait Job {
    /// To be marked `#[inline(always)]`, with all that it calls.
    fn run<I: Isa>(self, isa: I);
}

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(avx2::Avx2<true>),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2<false>),
    Scalar(scalar::Scalar),
}

impl Processor {
    /// All that this processor has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [
            avx512::Avx512::detect().map(Self::Avx512),
            avx2::Avx2::<true>::detect().map(Self::AvxVnni),
            avx2::Avx2::<false>::detect().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors: [Option<Self>; 0] = [];
        vectors.into_iter().flatten().chain([Self::Scalar(scalar::Scalar)])
    }

    /// The fastest.
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Self::Scalar(scalar::Scalar))
    }

    /// [`Isa::ROWS`].
    pub fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => avx512::Avx512::ROWS,
            _ => scalar::Scalar::ROWS,
        }
    }

    pub fn run(self, job: impl Job) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(isa) => isa.vectorize(job),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(isa) => isa.vectorize(job),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(isa) => isa.vectorize(job),
            Self::Scalar(isa) => job.run(isa),
        }
    }
}

// Products with 4-bit weights: out = x W^T, where W[n][k] = (q - 8) * scale + bias per group of k.
//
// The weights are the left operand of the tensor cores, 16 of their rows against 8 tokens, so that one token costs one
// reading of the weights and 64 tokens no more. q - 8 is exact in bf16; scales are applied to sums in f32.
//
// Layout (`weights/int4.rs` makes it): 16 rows x 64 columns are one tile of 32 lanes x 16 bytes. Word s of lane l holds
// the fragment of step s: pair p in bits 4p..4p+3 and 16+4p..16+4p+3, row l / 4 + 8 (p % 2), column
// 32 (s / 2) + 8 (l % 4) + 4 (s % 2) + 2 (p / 2) and the next. So a lane needs 8 consecutive inputs per half tile.
#include "common.cuh"

constexpr int W4_WARPS = 8;
constexpr int W4_COLUMNS = 64;
constexpr uint32_t ONES = 0x3f803f80u;

// Four pairs of q - 8, as a fragment.
__device__ inline void widen_q(uint32_t (&to)[4], uint32_t word) {
#pragma unroll
  for (int p = 0; p < 4; p++) to[p] = subtract2((word >> (4 * p) & 0x000f000fu) | 0x43004300u, 0x43084308u);
}

__device__ inline uint32_t word_of(const uint4& four, int i) {
  return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w;
}

struct W4Args {
  bf16* out;               // [rows][out_stride]
  const bf16* x;           // [rows][inputs]
  const uint4* weights;    // [outputs / 16][inputs / 64][32]
  const uint32_t* scales;  // [inputs / group][outputs] of (scale, bias) as f16
  int rows, outputs, inputs, group, out_stride;
  bool biased;             // whether any bias is not zero
};

template <int TOKENS, int TALL> struct W4Shared {
  float sums[TALL * 16][TOKENS * 8 + 1];
};

// Scales a sum of (q - 8) * x and adds it; `pairs` belong to the rows of elements 0, 1 and of 2, 3.
__device__ inline void scale_to(float (&sum)[4], const float (&dot)[4], const float (&x_sum)[4],
                                const uint32_t (&pairs)[2], bool biased) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum[i] += half_to_float(pairs[i / 2] & 0xffff) * dot[i];
    if (biased) sum[i] += half_to_float(pairs[i / 2] >> 16) * x_sum[i % 2];
  }
}

// One tile of weights against all tokens of the block.
template <int TOKENS, int TALL>
__device__ inline void multiply(float (&sums)[TALL][TOKENS][4], const W4Args& a, const uint4 (&weights)[TALL],
                                int token, int output, int tile, int lane) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int column = tile * W4_COLUMNS + half * 32;
    const uint32_t* scales = a.scales + size_t(column / a.group) * a.outputs + output + lane / 4;
    uint32_t first[TALL][4], second[TALL][4], pairs[TALL][2];
#pragma unroll
    for (int m = 0; m < TALL; m++) {
      widen_q(first[m], word_of(weights[m], 2 * half));
      widen_q(second[m], word_of(weights[m], 2 * half + 1));
      const bool exists = output + m * 16 < a.outputs;
      pairs[m][0] = exists ? scales[m * 16] : 0;
      pairs[m][1] = exists ? scales[m * 16 + 8] : 0;
    }
#pragma unroll
    for (int n = 0; n < TOKENS; n++) {
      const int row = token + n * 8 + lane / 4;
      uint4 x = make_uint4(0, 0, 0, 0);
      if (row < a.rows) x = *reinterpret_cast<const uint4*>(a.x + size_t(row) * a.inputs + column + lane % 4 * 8);
      float x_sum[4] = {};
      if (a.biased) {
        mma(x_sum, {ONES, ONES, ONES, ONES}, {x.x, x.y});
        mma(x_sum, {ONES, ONES, ONES, ONES}, {x.z, x.w});
      }
#pragma unroll
      for (int m = 0; m < TALL; m++) {
        float dot[4] = {};
        mma(dot, first[m], {x.x, x.y});
        mma(dot, second[m], {x.z, x.w});
        scale_to(sums[m][n], dot, x_sum, pairs[m], a.biased);
      }
    }
  }
}

// The block's warps share the inputs among them; their sums are added in order, so that the result is always the same.
template <int TOKENS, int TALL> __device__ void w4a16(const W4Args& a) {
  using Shared = W4Shared<TOKENS, TALL>;
  SHARED(Shared, shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int output = blockIdx.x * TALL * 16, token = blockIdx.y * TOKENS * 8, tiles = a.inputs / W4_COLUMNS;
  float sums[TALL][TOKENS][4] = {};
  const auto load = [&](uint4(&to)[TALL], int tile) {
#pragma unroll
    for (int m = 0; m < TALL; m++)
      if (tile < tiles && output + m * 16 < a.outputs)
        to[m] = a.weights[(size_t(output / 16 + m) * tiles + tile) * 32 + lane];
  };
  uint4 next[TALL] = {};
  load(next, warp);
  for (int tile = warp; tile < tiles; tile += W4_WARPS) {
    uint4 weights[TALL];
#pragma unroll
    for (int m = 0; m < TALL; m++) weights[m] = next[m];
    load(next, tile + W4_WARPS);
    multiply<TOKENS, TALL>(sums, a, weights, token, output, tile, lane);
  }
  for (int w = 0; w < W4_WARPS; w++) {
    if (warp == w) {
#pragma unroll
      for (int i = 0; i < TALL * TOKENS * 4; i++) {
        const int m = i / (TOKENS * 4), n = i / 4 % TOKENS, e = i % 4;
        float& sum = shared.sums[m * 16 + lane / 4 + e / 2 * 8][n * 8 + lane % 4 * 2 + e % 2];
        sum = (w == 0 ? 0.f : sum) + sums[m][n][e];
      }
    }
    __syncthreads();
  }
  for (int i = threadIdx.x; i < TALL * 16 * TOKENS * 8; i += W4_WARPS * 32) {
    const int n = i % (TALL * 16), t = i / (TALL * 16);
    if (token + t < a.rows && output + n < a.outputs)
      a.out[size_t(token + t) * a.out_stride + output + n] = narrow(shared.sums[n][t]);
  }
}

// Grid: (outputs / (16 TALL), rows / (8 TOKENS)), W4_WARPS * 32 threads; outputs is a multiple of 16, inputs of 64, and
// group is 32 or a multiple of 64.
#define W4A16(TOKENS, TALL)                                                                                         \
  KERNEL __launch_bounds__(W4_WARPS * 32) w4a16_t##TOKENS(bf16* out, const bf16* x, const uint4* weights,           \
                                                          const uint32_t* scales, int rows, int outputs, int inputs, \
                                                          int group, int out_stride, int biased) {                  \
    w4a16<TOKENS, TALL>({out, x, weights, scales, rows, outputs, inputs, group, out_stride, biased != 0});          \
  }                                                                                                                 \
  EXPORT(w4a16_t##TOKENS)

W4A16(1, 1)
W4A16(2, 1)
W4A16(4, 2)
W4A16(8, 2)

// The weights as bf16 [outputs][inputs], for products with many rows. Grid: (tiles of a row of tiles, outputs / 16).
KERNEL widen_w4(bf16* out, const uint4* weights, const uint32_t* scales, int outputs, int inputs, int group) {
  const int lane = threadIdx.x % 32, tile = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
  const int tiles = inputs / W4_COLUMNS;
  if (tile >= tiles) return;
  const uint4 four = weights[(size_t(blockIdx.y) * tiles + tile) * 32 + lane];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int half = i / 2, lower = i % 2, column = tile * W4_COLUMNS + half * 32;
    const int output = blockIdx.y * 16 + lane / 4 + lower * 8;
    const uint32_t pair = scales[size_t(column / group) * outputs + output];
    const float scale = half_to_float(pair & 0xffff), bias = half_to_float(pair >> 16);
    float values[8];
#pragma unroll
    for (int s = 0; s < 2; s++) {
      uint32_t q[4];
      widen_q(q, word_of(four, 2 * half + s));
#pragma unroll
      for (int p = 0; p < 2; p++) {
        values[s * 4 + p * 2] = low(q[2 * p + lower]) * scale + bias;
        values[s * 4 + p * 2 + 1] = high(q[2 * p + lower]) * scale + bias;
      }
    }
    *reinterpret_cast<uint4*>(out + size_t(output) * inputs + column + lane % 4 * 8) = pack8(values);
  }
}
EXPORT(widen_w4)

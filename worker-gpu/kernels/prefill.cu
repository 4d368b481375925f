// Attention of prompt chunks over the paged cache, on tensor cores.
//
// One block computes up to 64 consecutive tokens of one sequence for one query head: 4 warps with 16 tokens each walk
// over the KV blocks, of which one is computed while the next is fetched.
#include "common.cuh"

constexpr int PREFILL_WARPS = 4;
constexpr int PREFILL_TILE = PREFILL_WARPS * 16;

// Rows are longer than the head, so that eight of them start in different banks.
template <int D> struct PrefillShared {
  bf16 keys[2][KV_BLOCK][D + 8];
  bf16 values[2][KV_BLOCK][D + 8];
};

struct PrefillArgs {
  bf16* out;           // [rows][heads][D]
  const bf16* qkv;     // [rows][heads + 2 kv_heads][D]
  const bf16* keys;    // [blocks][kv_heads][KV_BLOCK][D]
  const bf16* values;  // likewise
  const int4* tiles;   // [tiles] of (first row, rows, position of the first row, sequence)
  const int* tables;   // [sequences][table_stride]
  int table_stride, heads, kv_heads;
  float scale;
};

// Begins to fetch one KV block of one head; slots from `count` on are cleared.
template <int D>
__device__ inline void fetch(bf16 (&to)[KV_BLOCK][D + 8], const bf16* from, int count) {
  constexpr int PIECES = D / 8;
  for (int i = threadIdx.x; i < KV_BLOCK * PIECES; i += PREFILL_WARPS * 32) {
    const int slot = i / PIECES, piece = i % PIECES;
    copy16(&to[slot][piece * 8], from + slot * D + piece * 8, slot < count);
  }
}

// Scores of 16 queries with the block's keys; tile n holds keys 8n to 8n + 7.
template <int D>
__device__ inline void score(float (&scores)[KV_BLOCK / 8][4], const uint32_t (&query)[D / 16][4],
                             const bf16 (&keys)[KV_BLOCK][D + 8], int lane) {
#pragma unroll
  for (int n = 0; n < KV_BLOCK / 16; n++) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
      uint32_t b[4];
      load_tiles(b, &keys[n * 16 + lane / 16 * 8 + lane % 8][k * 16 + lane / 8 % 2 * 8]);
      mma(scores[2 * n], query[k], {b[0], b[1]});
      mma(scores[2 * n + 1], query[k], {b[2], b[3]});
    }
  }
}

// Adds the values, weighted, to 16 rows of results.
template <int D>
__device__ inline void weigh(float (&result)[D / 8][4], const float (&weights)[KV_BLOCK / 8][4],
                             const bf16 (&values)[KV_BLOCK][D + 8], int lane) {
#pragma unroll
  for (int k = 0; k < KV_BLOCK / 16; k++) {
    const float(&left)[4] = weights[2 * k], (&right)[4] = weights[2 * k + 1];
    const uint32_t a[4] = {pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]),
                           pack(right[2], right[3])};
#pragma unroll
    for (int n = 0; n < D / 16; n++) {
      uint32_t b[4];
      load_tiles_transposed(b, &values[k * 16 + lane / 8 % 2 * 8 + lane % 8][n * 16 + lane / 16 * 8]);
      mma(result[2 * n], a, {b[0], b[1]});
      mma(result[2 * n + 1], a, {b[2], b[3]});
    }
  }
}

// The greatest of a row's numbers, or their sum, over the four lanes that hold the row.
__device__ inline float row_max(float value) {
  value = fmaxf(value, shuffle_xor(value, 1));
  return fmaxf(value, shuffle_xor(value, 2));
}
__device__ inline float row_sum(float value) {
  value += shuffle_xor(value, 1);
  return value + shuffle_xor(value, 2);
}

// Turns scores into weights 2^(score - greatest), hides keys after the query, and rescales what was gathered before.
template <int D> struct Rows {
  float greatest[2] = {HIDDEN, HIDDEN};
  float sum[2] = {0.f, 0.f};
  float result[D / 8][4] = {};

  __device__ inline void soften(float (&scores)[KV_BLOCK / 8][4], int first_key, int position, float scale, int lane) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int query = position + lane / 4 + half * 8;
      float best = greatest[half];
#pragma unroll
      for (int n = 0; n < KV_BLOCK / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& score = scores[n][half * 2 + i];
          const int key = first_key + n * 8 + lane % 4 * 2 + i;
          score = key <= query ? score * scale : -INFINITY;
          best = fmaxf(best, score);
        }
      }
      best = row_max(best);
      const float kept = exp2f(greatest[half] - best);
      greatest[half] = best;
      sum[half] *= kept;
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        result[n][half * 2] *= kept;
        result[n][half * 2 + 1] *= kept;
      }
#pragma unroll
      for (int n = 0; n < KV_BLOCK / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& weight = scores[n][half * 2 + i];
          weight = exp2f(weight - best);
          sum[half] += weight;
        }
      }
    }
  }
};

// The 16 queries of a warp as tensor core fragments; rows beyond `count` are zero.
template <int D>
__device__ inline void read_queries(uint32_t (&query)[D / 16][4], const bf16* first, size_t stride, int count, int lane) {
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + i % 2 * 8, column = k * 16 + lane % 4 * 2 + i / 2 * 8;
      query[k][i] = row < count ? *reinterpret_cast<const uint32_t*>(first + row * stride + column) : 0;
    }
  }
}

template <int D> __device__ void prefill(const PrefillArgs& a) {
  SHARED(PrefillShared<D>, shared);
  const int4 tile = a.tiles[blockIdx.x];
  const int head = blockIdx.y, kv = head / (a.heads / a.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row = tile.x + warp * 16, count = tile.y - warp * 16, position = tile.z + warp * 16;
  const int keys = tile.z + tile.y, blocks = (keys + KV_BLOCK - 1) / KV_BLOCK;
  const int* table = a.tables + size_t(tile.w) * a.table_stride;
  const size_t stride = size_t(a.heads + 2 * a.kv_heads) * D;
  const auto fetch_block = [&](int b) {
    const size_t from = (size_t(table[b]) * a.kv_heads + kv) * KV_BLOCK * D;
    fetch<D>(shared.keys[b % 2], a.keys + from, keys - b * KV_BLOCK);
    fetch<D>(shared.values[b % 2], a.values + from, keys - b * KV_BLOCK);
  };

  uint32_t query[D / 16][4];
  read_queries<D>(query, a.qkv + row * stride + size_t(head) * D, stride, count, lane);
  Rows<D> rows;
  fetch_block(0);
  end_copies();
  for (int b = 0; b < blocks; b++) {
    if (b + 1 < blocks) fetch_block(b + 1);
    end_copies();
    await_copies<1>();
    __syncthreads();
    float scores[KV_BLOCK / 8][4] = {};
    score<D>(scores, query, shared.keys[b % 2], lane);
    rows.soften(scores, b * KV_BLOCK, position, a.scale * LOG2E, lane);
    weigh<D>(rows.result, scores, shared.values[b % 2], lane);
    __syncthreads();
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float total = row_sum(rows.sum[half]);
    const int r = lane / 4 + half * 8;
    if (r >= count) continue;
    bf16* to = a.out + (size_t(row + r) * a.heads + head) * D + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
      *reinterpret_cast<uint32_t*>(to + n * 8) =
          pack(rows.result[n][half * 2] / total, rows.result[n][half * 2 + 1] / total);
  }
}

// Grid: (tiles, heads), PREFILL_WARPS * 32 threads.
#define PREFILL(D)                                                                                                   \
  KERNEL __launch_bounds__(PREFILL_WARPS * 32) prefill_d##D(                                                         \
      bf16* out, const bf16* qkv, const bf16* keys, const bf16* values, const int4* tiles, const int* tables,        \
      int table_stride, int heads, int kv_heads, float scale) {                                                      \
    prefill<D>({out, qkv, keys, values, tiles, tables, table_stride, heads, kv_heads, scale});                       \
  }                                                                                                                  \
  EXPORT(prefill_d##D)

PREFILL(16)
PREFILL(32)
PREFILL(64)
PREFILL(128)

// Attention of single tokens over the paged cache.
//
// One block serves all query heads of one KV head, so each key and value is read once; long contexts are split over
// several blocks, whose partial results `combine` joins. Softmax is online and in base 2.
#include "common.cuh"

constexpr int DECODE_WARPS = 4;
constexpr int DECODE_UNROLL = 4;

// A partial softmax: the greatest score, and the sum of 2^(score - greatest).
struct Softmax {
  float greatest, sum;
};

// How much of `part` counts when `greatest` is the greatest of all parts.
__device__ inline float share(float part, float greatest) { return exp2f(part - greatest); }

struct DecodeArgs {
  bf16* out;              // [rows][heads][D]
  float* partial;         // [sequences][heads][splits][D]: sums of weighted values
  Softmax* partial_soft;  // [sequences][heads][splits]
  const bf16* qkv;        // [rows][heads + 2 kv_heads][D]
  const bf16* keys;       // [blocks][kv_heads][KV_BLOCK][D]
  const bf16* values;     // likewise
  const int* rows;        // [sequences]: the sequence's row in qkv and out
  const int* contexts;    // [sequences]: keys it sees
  const int* tables;      // [sequences][table_stride]: its blocks
  int table_stride, heads, kv_heads, splits;
  float scale;
};

// What one group of lanes has seen so far, for all query heads; each lane holds 8 elements of the head.
template <int G> struct Seen {
  Softmax soft[G];
  float values[G][8];
};

template <int D, int G> struct DecodeShared {
  Softmax soft[DECODE_WARPS][G];
  float values[DECODE_WARPS][G][D];
};

// Takes in UNROLL keys and values, whose scores are known to the lanes of the group.
template <int G>
__device__ inline void take(Seen<G>& seen, const float (&scores)[DECODE_UNROLL][G], const uint4 (&v)[DECODE_UNROLL]) {
#pragma unroll
  for (int g = 0; g < G; g++) {
    float greatest = seen.soft[g].greatest;
#pragma unroll
    for (int u = 0; u < DECODE_UNROLL; u++) greatest = fmaxf(greatest, scores[u][g]);
    const float kept = share(seen.soft[g].greatest, greatest);
    seen.soft[g].greatest = greatest;
    seen.soft[g].sum *= kept;
#pragma unroll
    for (int e = 0; e < 8; e++) seen.values[g][e] *= kept;
  }
#pragma unroll
  for (int u = 0; u < DECODE_UNROLL; u++) {
    float value[8];
    unpack8(v[u], value);
#pragma unroll
    for (int g = 0; g < G; g++) {
      const float weight = exp2f(scores[u][g] - seen.soft[g].greatest);
      seen.soft[g].sum += weight;
#pragma unroll
      for (int e = 0; e < 8; e++) seen.values[g][e] += weight * value[e];
    }
  }
}

// Joins what the lane groups of a warp have seen.
template <int G> __device__ inline void join_groups(Seen<G>& seen, int lanes) {
  for (int offset = lanes; offset < 32; offset *= 2) {
#pragma unroll
    for (int g = 0; g < G; g++) {
      const Softmax other = {shuffle_xor(seen.soft[g].greatest, offset), shuffle_xor(seen.soft[g].sum, offset)};
      const float greatest = fmaxf(seen.soft[g].greatest, other.greatest);
      const float mine = share(seen.soft[g].greatest, greatest), theirs = share(other.greatest, greatest);
      seen.soft[g] = {greatest, seen.soft[g].sum * mine + other.sum * theirs};
#pragma unroll
      for (int e = 0; e < 8; e++)
        seen.values[g][e] = seen.values[g][e] * mine + shuffle_xor(seen.values[g][e], offset) * theirs;
    }
  }
}

// Joins the warps' results and writes the block's.
template <int D, int G>
__device__ inline void write_decoded(const DecodeArgs& a, const DecodeShared<D, G>& shared, int sequence, int kv, int split) {
  for (int i = threadIdx.x; i < G * D; i += DECODE_WARPS * 32) {
    const int g = i / D, d = i % D, head = kv * G + g;
    float greatest = HIDDEN, sum = 0.f, value = 0.f;
    for (int w = 0; w < DECODE_WARPS; w++) greatest = fmaxf(greatest, shared.soft[w][g].greatest);
    for (int w = 0; w < DECODE_WARPS; w++) {
      const float part = share(shared.soft[w][g].greatest, greatest);
      sum += shared.soft[w][g].sum * part;
      value += shared.values[w][g][d] * part;
    }
    if (a.splits == 1) {
      a.out[(size_t(a.rows[sequence]) * a.heads + head) * D + d] = narrow(value / sum);
    } else {
      const size_t at = (size_t(sequence) * a.heads + head) * a.splits + split;
      a.partial[at * D + d] = value;
      if (d == 0) a.partial_soft[at] = {greatest, sum};
    }
  }
}

template <int D, int G> __device__ void decode(const DecodeArgs& a) {
  constexpr int LANES = D / 8, KEYS = 32 / LANES, STEP = KEYS * DECODE_UNROLL;
  using Shared = DecodeShared<D, G>;
  SHARED(Shared, shared);
  const int sequence = blockIdx.x, kv = blockIdx.y, split = blockIdx.z;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / LANES, part = lane % LANES;
  const int blocks = (a.contexts[sequence] + KV_BLOCK - 1) / KV_BLOCK;
  const int share_of_blocks = (blocks + a.splits - 1) / a.splits;
  const int begin = split * share_of_blocks * KV_BLOCK;
  const int end = min(a.contexts[sequence], begin + share_of_blocks * KV_BLOCK);
  const int* table = a.tables + size_t(sequence) * a.table_stride;

  float query[G][8];
  Seen<G> seen;
#pragma unroll
  for (int g = 0; g < G; g++) {
    const size_t head = size_t(a.rows[sequence]) * (a.heads + 2 * a.kv_heads) + kv * G + g;
    unpack8(*reinterpret_cast<const uint4*>(a.qkv + head * D + part * 8), query[g]);
    seen.soft[g] = {HIDDEN, 0.f};
#pragma unroll
    for (int e = 0; e < 8; e++) {
      query[g][e] *= a.scale * LOG2E;
      seen.values[g][e] = 0.f;
    }
  }
  for (int first = begin + warp * STEP; first < end; first += DECODE_WARPS * STEP) {
    uint4 k[DECODE_UNROLL], v[DECODE_UNROLL];
#pragma unroll
    for (int u = 0; u < DECODE_UNROLL; u++) {
      const int key = first + u * KEYS + group;
      k[u] = v[u] = make_uint4(0, 0, 0, 0);
      if (key < end) {
        const size_t slot = (size_t(table[key / KV_BLOCK]) * a.kv_heads + kv) * KV_BLOCK + key % KV_BLOCK;
        k[u] = *reinterpret_cast<const uint4*>(a.keys + slot * D + part * 8);
        v[u] = *reinterpret_cast<const uint4*>(a.values + slot * D + part * 8);
      }
    }
    float scores[DECODE_UNROLL][G];
#pragma unroll
    for (int u = 0; u < DECODE_UNROLL; u++) {
      float key[8];
      unpack8(k[u], key);
#pragma unroll
      for (int g = 0; g < G; g++) {
        float score = 0.f;
#pragma unroll
        for (int e = 0; e < 8; e++) score += query[g][e] * key[e];
#pragma unroll
        for (int offset = LANES / 2; offset > 0; offset /= 2) score += shuffle_xor(score, offset);
        scores[u][g] = first + u * KEYS + group < end ? score : -INFINITY;
      }
    }
    take(seen, scores, v);
  }
  join_groups(seen, LANES);
  if (group == 0) {
#pragma unroll
    for (int g = 0; g < G; g++) {
      if (part == 0) shared.soft[warp][g] = seen.soft[g];
#pragma unroll
      for (int e = 0; e < 8; e++) shared.values[warp][g][part * 8 + e] = seen.values[g][e];
    }
  }
  __syncthreads();
  write_decoded<D, G>(a, shared, sequence, kv, split);
}

// Grid: (sequences, kv_heads, splits), DECODE_WARPS * 32 threads.
#define DECODE(D, G)                                                                                                  \
  KERNEL __launch_bounds__(DECODE_WARPS * 32) decode_d##D##_g##G(                                                     \
      bf16* out, float* partial, Softmax* partial_soft, const bf16* qkv, const bf16* keys, const bf16* values,        \
      const int* rows, const int* contexts, const int* tables, int table_stride, int heads, int kv_heads, int splits, \
      float scale) {                                                                                                  \
    decode<D, G>({out, partial, partial_soft, qkv, keys, values, rows, contexts, tables, table_stride, heads,         \
                  kv_heads, splits, scale});                                                                          \
  }                                                                                                                   \
  EXPORT(decode_d##D##_g##G)
#define DECODE_GROUPS(D) \
  DECODE(D, 1) DECODE(D, 2) DECODE(D, 3) DECODE(D, 4) DECODE(D, 5) DECODE(D, 6) DECODE(D, 7) DECODE(D, 8)

DECODE_GROUPS(16)
DECODE_GROUPS(32)
DECODE_GROUPS(64)
DECODE_GROUPS(128)

// Joins the splits of each (sequence, head). Grid: (sequences, heads); one thread per element.
KERNEL combine(bf16* out, const float* partial, const Softmax* partial_soft, const int* rows, int heads, int splits,
               int dim) {
  const int sequence = blockIdx.x, head = blockIdx.y, d = threadIdx.x;
  if (d >= dim) return;
  const size_t at = (size_t(sequence) * heads + head) * splits;
  float greatest = HIDDEN, sum = 0.f, value = 0.f;
  for (int s = 0; s < splits; s++) greatest = fmaxf(greatest, partial_soft[at + s].greatest);
  for (int s = 0; s < splits; s++) {
    const float part = share(partial_soft[at + s].greatest, greatest);
    sum += partial_soft[at + s].sum * part;
    value += partial[(at + s) * dim + d] * part;
  }
  out[(size_t(rows[sequence]) * heads + head) * dim + d] = narrow(value / sum);
}
EXPORT(combine)

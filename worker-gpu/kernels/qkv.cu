// What happens between the QKV product and attention: bias, norm of each head, rotary embedding, writing keys and values.
#include "common.cuh"

constexpr int QKV_WARPS = 4;
constexpr int QKV_MAX_DIM = 256;

struct QkvShared {
  float heads[QKV_WARPS][QKV_MAX_DIM];
};

struct Rotary {
  const float2* angles;  // [position][pairs] of (cos, sin)
  int pairs;             // pairs of a head that turn; the elements beyond stay
  bool neighbours;       // pairs are (2i, 2i + 1) instead of (i, i + pairs)
};

// Turns a head, which lies in this warp's shared memory.
__device__ inline void turn(float* head, const Rotary& rotary, int position, int lane) {
  for (int p = lane; p < rotary.pairs; p += 32) {
    const int i = rotary.neighbours ? 2 * p : p, j = rotary.neighbours ? 2 * p + 1 : p + rotary.pairs;
    const float2 angle = rotary.angles[size_t(position) * rotary.pairs + p];
    const float a = head[i], b = head[j];
    head[i] = a * angle.x - b * angle.y;
    head[j] = a * angle.y + b * angle.x;
  }
}

// qkv [rows][heads + 2 kv_heads][dim]: queries are replaced in place; keys and values go to slot slots[row] of the caches
// [blocks][kv_heads][KV_BLOCK][dim]. bias [heads + 2 kv_heads][dim], query_norm and key_norm [dim] may be null.
// One warp per (row, head); grid: (rows, heads / QKV_WARPS).
KERNEL finish_qkv(bf16* qkv, bf16* keys, bf16* values, const float* bias, const float* query_norm,
                  const float* key_norm, const float2* angles, const int* positions, const int* slots, int heads,
                  int kv_heads, int dim, int pairs, int neighbours, float epsilon) {
  SHARED(QkvShared, shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, all = heads + 2 * kv_heads;
  const int number = blockIdx.y * QKV_WARPS + warp;
  if (number >= all) return;
  const size_t row = blockIdx.x;
  bf16* from = qkv + (row * all + number) * dim;
  float* head = shared.heads[warp];
  float squares = 0.f;
  for (int i = lane; i < dim; i += 32) {
    const float value = widen(from[i]) + (bias ? bias[size_t(number) * dim + i] : 0.f);
    head[i] = value;
    squares += value * value;
  }
  const bool is_value = number >= heads + kv_heads;
  const float* norm = is_value ? nullptr : number < heads ? query_norm : key_norm;
  if (norm) {
    const float factor = rsqrtf(warp_sum(squares) / dim + epsilon);
    for (int i = lane; i < dim; i += 32) head[i] *= factor * norm[i];
  }
  __syncwarp();
  if (!is_value) turn(head, Rotary{angles, pairs, neighbours != 0}, positions[row], lane);
  __syncwarp();
  bf16* to = from;
  if (number >= heads) {
    const int kv = is_value ? number - heads - kv_heads : number - heads;
    const int block = slots[row] / KV_BLOCK, slot = slots[row] % KV_BLOCK;
    to = (is_value ? values : keys) + ((size_t(block) * kv_heads + kv) * KV_BLOCK + slot) * dim;
  }
  for (int i = lane; i < dim; i += 32) to[i] = narrow(head[i]);
}
EXPORT(finish_qkv)

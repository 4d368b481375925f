// The feed-forward's gate.
#include "common.cuh"

// out [rows][inner] = silu(gate) * up, where joined [rows][2 * inner] holds gate and up side by side.
// Grid: (parts of a row, rows); inner is a multiple of 8.
KERNEL silu_mul(bf16* out, const bf16* joined, int inner) {
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (i >= inner) return;
  const size_t row = blockIdx.y;
  const bf16* gate = joined + row * 2 * inner;
  float g[8], u[8];
  unpack8(*reinterpret_cast<const uint4*>(gate + i), g);
  unpack8(*reinterpret_cast<const uint4*>(gate + inner + i), u);
#pragma unroll
  for (int j = 0; j < 8; j++) u[j] *= g[j] / (1.f + __expf(-g[j]));
  *reinterpret_cast<uint4*>(out + row * inner + i) = pack8(u);
}
EXPORT(silu_mul)

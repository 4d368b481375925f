// Takes each row's token from the embedding table into the residual stream.
#include "common.cuh"

// residual [rows][hidden], table [vocabulary][hidden], tokens [rows]. One block per row; hidden is a multiple of 8.
KERNEL embed(float* residual, const bf16* table, const int* tokens, int hidden) {
  const bf16* from = table + size_t(tokens[blockIdx.x]) * hidden;
  float* to = residual + size_t(blockIdx.x) * hidden;
  for (int i = threadIdx.x * 8; i < hidden; i += blockDim.x * 8) {
    float values[8];
    unpack8(*reinterpret_cast<const uint4*>(from + i), values);
    *reinterpret_cast<float4*>(to + i) = make_float4(values[0], values[1], values[2], values[3]);
    *reinterpret_cast<float4*>(to + i + 4) = make_float4(values[4], values[5], values[6], values[7]);
  }
}
EXPORT(embed)

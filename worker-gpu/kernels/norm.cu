// Residual addition and RMS norm in one pass.
#include "common.cuh"

struct NormShared {
  float sums[32];
};

// What a row's element is after the addition.
__device__ inline float4 added(const float* residual, const bf16* delta, int i) {
  float4 value = *reinterpret_cast<const float4*>(residual + i);
  if (delta) {
    const uint2 d = *reinterpret_cast<const uint2*>(delta + i);
    value = make_float4(value.x + low(d.x), value.y + high(d.x), value.z + low(d.y), value.w + high(d.y));
  }
  return value;
}

// residual [rows][hidden] += delta (may be null); out [rows][hidden] = residual / rms(residual) * weight.
// With `picked`, out's row r is made from row picked[r], and the residual stays as it was.
// One block per row of out; hidden is a multiple of 4.
KERNEL add_rms_norm(bf16* out, float* residual, const bf16* delta, const float* weight, const int* picked, int hidden,
                    float epsilon) {
  SHARED(NormShared, shared);
  const size_t row = picked ? picked[blockIdx.x] : blockIdx.x;
  float* stream = residual + row * hidden;
  const bf16* addend = delta ? delta + row * hidden : nullptr;
  float squares = 0.f;
  for (int i = threadIdx.x * 4; i < hidden; i += blockDim.x * 4) {
    const float4 v = added(stream, addend, i);
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    if (addend && !picked) *reinterpret_cast<float4*>(stream + i) = v;
  }
  const float factor = rsqrtf(block_sum(squares, shared.sums) / hidden + epsilon);
  for (int i = threadIdx.x * 4; i < hidden; i += blockDim.x * 4) {
    const float4 v = added(stream, picked ? addend : nullptr, i);
    const float4 w = *reinterpret_cast<const float4*>(weight + i);
    *reinterpret_cast<uint2*>(out + size_t(blockIdx.x) * hidden + i) =
        make_uint2(pack(v.x * factor * w.x, v.y * factor * w.y), pack(v.z * factor * w.z, v.w * factor * w.w));
  }
}
EXPORT(add_rms_norm)

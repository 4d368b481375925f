// What every kernel uses: bf16 as its bits, warp reductions, and the few instructions that C++ has no words for.
//
// The same sources compile with nvcc for a GPU and with a host compiler for tests without one; then emulate/host.hpp
// stands for the device. Blocks are one-dimensional and a multiple of 32 threads; a kernel's shared memory is one struct.
#pragma once

#ifdef __CUDACC__
#include "device.cuh"
#else
#include "emulate/host.hpp"
#endif

// Tokens of a KV block; the same as `BLOCK` in Rust.
constexpr int KV_BLOCK = 32;
// Scores of keys that may not be seen; finite, so that differences of two of them are numbers.
constexpr float HIDDEN = -1e30f;
constexpr float LOG2E = 1.4426950408889634f;

__device__ inline float low(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ inline float widen(bf16 value) { return __uint_as_float(uint32_t(value) << 16); }
__device__ inline bf16 narrow(float value) { return bf16(pack(value, 0.f) & 0xffff); }

// Eight bf16 in one 16-byte access.
__device__ inline void unpack8(const uint4& from, float* to) {
  const uint32_t pairs[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = low(pairs[i]);
    to[2 * i + 1] = high(pairs[i]);
  }
}

__device__ inline uint4 pack8(const float* from) {
  return make_uint4(pack(from[0], from[1]), pack(from[2], from[3]), pack(from[4], from[5]), pack(from[6], from[7]));
}

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += shuffle_xor(value, offset);
  return value;
}

// The sum over a block of up to 32 warps; every thread gets it. `scratch` holds a number per warp; other threads may still
// read it afterwards.
__device__ inline float block_sum(float value, float* scratch) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  return warp_sum(lane < warps ? scratch[lane] : 0.f);
}

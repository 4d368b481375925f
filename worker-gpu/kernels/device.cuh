// The device's own instructions, for sm_80 and newer.
#pragma once
#include <stdint.h>

typedef unsigned short bf16;

#define KERNEL extern "C" __global__ void
// Declares `name`, the block's shared memory.
#define SHARED(Type, name) __shared__ __align__(16) Type name
// Kernels are found in the module by their name.
#define EXPORT(kernel)

// Two floats as bf16, rounded to nearest even; `lo` in the lower half.
__device__ inline uint32_t pack(float lo, float hi) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(hi), "f"(lo));
  return pair;
}

__device__ inline float half_to_float(unsigned short half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

// a - b for two bf16 at once; exact for small integers.
__device__ inline uint32_t subtract2(uint32_t a, uint32_t b) {
  uint32_t pair;
  const uint32_t minus_one = 0xbf80bf80u;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(b), "r"(minus_one), "r"(a));
  return pair;
}

template <class T> __device__ inline T shuffle_xor(T value, int mask) { return __shfl_xor_sync(~0u, value, mask); }
template <class T> __device__ inline T shuffle(T value, int lane) { return __shfl_sync(~0u, value, lane); }
template <class T> __device__ inline T shuffle_up(T value, int by) { return __shfl_up_sync(~0u, value, by); }

// c += a b for a 16x16 and a 16x8 tile of bf16, spread over the warp as PTX ISA describes for mma.m16n8k16.
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads four 8x8 tiles of bf16 from shared memory; lane i names row i % 8 of tile i / 8.
__device__ inline void load_tiles(uint32_t (&to)[4], const bf16* row) {
  const uint32_t at = uint32_t(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
}

// The same with each tile transposed.
__device__ inline void load_tiles_transposed(uint32_t (&to)[4], const bf16* row) {
  const uint32_t at = uint32_t(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
}

// Begins to copy 16 bytes from global to shared memory, or to clear them where `take` is false.
__device__ inline void copy16(void* to, const void* from, bool take) {
  const uint32_t at = uint32_t(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(take ? 16 : 0) : "memory");
}

// Ends a group of copies.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until this thread's groups but the last `pending` have arrived.
template <int pending> __device__ inline void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

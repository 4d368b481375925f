// Stands for the device when the kernels are compiled by a host compiler, so that they can be tested without a GPU.
//
// The threads of a block are fibers on one thread of the host. A warp runs until it waits for the block, its lanes until
// they wait for each other, in an order that is drawn anew each time, so that a missing barrier shows; shared memory begins
// as NaN; copies from global to shared memory happen at once or as late as the program allows. Memory is not emulated: addresses are
// the host's.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

using std::size_t;
typedef unsigned short bf16;

struct Dim3 {
  unsigned x, y, z;
};
struct uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulate {
extern Dim3 block, blocks, thread, threads;
// This block's shared memory; the same at each call within a block.
void* shared(size_t bytes);
// Waits for all threads of the block.
void wait_block();
// Lends `bytes` of every lane to every other lane of the warp until the next exchange.
const void* const* exchange(const void* own, size_t bytes);
// At once, or when the thread waits for it.
void copy_later(void* to, const void* from, bool take);
void end_copies();
void await_copies(int pending);
void export_kernel(const char* name, void (*call)(void**));

template <class... Args, size_t... I> void apply(void (*kernel)(Args...), void** args, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<Args>*>(args[I])...);
}
template <auto kernel> struct Caller;
template <class... Args, void (*kernel)(Args...)> struct Caller<kernel> {
  static void call(void** args) { apply(kernel, args, std::index_sequence_for<Args...>{}); }
};
struct Exported {
  Exported(const char* name, void (*call)(void**)) { export_kernel(name, call); }
};
}  // namespace emulate

#define blockIdx emulate::block
#define gridDim emulate::blocks
#define threadIdx emulate::thread
#define blockDim emulate::threads
#define __device__
#define __launch_bounds__(threads)
#define KERNEL extern "C" void
#define SHARED(Type, name) Type& name = *static_cast<Type*>(emulate::shared(sizeof(Type)))
#define EXPORT(kernel) static emulate::Exported exported_##kernel(#kernel, emulate::Caller<kernel>::call);

using std::ceil;
inline int min(int a, int b) { return a < b ? a : b; }
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }

template <class To, class From> inline To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}
inline float __uint_as_float(uint32_t bits) { return bits_of<float>(bits); }
inline uint32_t __float_as_uint(float value) { return bits_of<uint32_t>(value); }

// Rounded to nearest even, as cvt.rn does.
inline uint32_t to_bf16(float value) {
  const uint32_t bits = bits_of<uint32_t>(value);
  if (value != value) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline uint32_t pack(float lo, float hi) { return to_bf16(lo) | to_bf16(hi) << 16; }
inline float from_bf16(uint32_t bits) { return __uint_as_float(bits << 16); }
inline uint32_t subtract2(uint32_t a, uint32_t b) {
  return pack(from_bf16(a & 0xffff) - from_bf16(b & 0xffff), from_bf16(a >> 16) - from_bf16(b >> 16));
}
inline float half_to_float(unsigned short half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float size = exponent == 0    ? std::ldexp(float(fraction), -24)
                     : exponent == 31 ? (fraction ? NAN : INFINITY)
                                      : std::ldexp(float(fraction + 1024), exponent - 25);
  return half >> 15 ? -size : size;
}

inline void __syncthreads() { emulate::wait_block(); }
inline void __syncwarp() { emulate::exchange(nullptr, 0); }

template <class T> inline T shuffle(T value, int lane) {
  return *static_cast<const T*>(emulate::exchange(&value, sizeof(T))[lane]);
}
template <class T> inline T shuffle_xor(T value, int mask) { return shuffle(value, (threadIdx.x % 32) ^ mask); }
template <class T> inline T shuffle_up(T value, int by) {
  const int lane = threadIdx.x % 32;
  return shuffle(value, lane >= by ? lane - by : lane);
}
template <class T> inline T atomicAdd(T* at, T value) {
  const T old = *at;
  *at += value;
  return old;
}

// Where mma.m16n8k16 keeps its operands, from the PTX ISA: element i of a lane's fragment is at (row, column).
inline float element(const uint32_t* fragment, int i) { return from_bf16(fragment[i / 2] >> (i % 2 * 16) & 0xffff); }

inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  uint32_t own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const void* const* lanes = emulate::exchange(own, sizeof(own));
  // a's element i of lane l: row l / 4 + 8 for i in 2, 3, 6, 7; column l % 4 * 2 + i % 2, + 8 for i >= 4.
  const auto left = [&](int row, int k) {
    const int i = k % 2 + (row >= 8 ? 2 : 0) + (k >= 8 ? 4 : 0);
    return element(static_cast<const uint32_t*>(lanes[row % 8 * 4 + k % 8 / 2]), i);
  };
  // b's element i of lane l: row l % 4 * 2 + i % 2, + 8 for i >= 2; column l / 4.
  const auto right = [&](int k, int column) {
    return element(static_cast<const uint32_t*>(lanes[column * 4 + k % 8 / 2]) + 4, k % 2 + (k >= 8 ? 2 : 0));
  };
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; k++) sum += double(left(row, k)) * right(k, column);
    c[i] = float(sum);
  }
}

// As ldmatrix.x4: tile i's row r begins where lane 8i + r says.
inline void load_tiles(uint32_t (&to)[4], const bf16* row) {
  const void* const* lanes = emulate::exchange(&row, sizeof(row));
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    const bf16* from = *static_cast<const bf16* const*>(lanes[8 * i + lane / 4]);
    to[i] = from[lane % 4 * 2] | uint32_t(from[lane % 4 * 2 + 1]) << 16;
  }
}
inline void load_tiles_transposed(uint32_t (&to)[4], const bf16* row) {
  const void* const* lanes = emulate::exchange(&row, sizeof(row));
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    const bf16* first = *static_cast<const bf16* const*>(lanes[8 * i + lane % 4 * 2]);
    const bf16* second = *static_cast<const bf16* const*>(lanes[8 * i + lane % 4 * 2 + 1]);
    to[i] = first[lane / 4] | uint32_t(second[lane / 4]) << 16;
  }
}

inline void copy16(void* to, const void* from, bool take) { emulate::copy_later(to, from, take); }
inline void end_copies() { emulate::end_copies(); }
template <int pending> inline void await_copies() { emulate::await_copies(pending); }

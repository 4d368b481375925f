// Chooses tokens from logits, one block per row.
//
// Sampling needs no sorted vocabulary: every question (which token is the k-th, where does the nucleus end, in whose share
// does the drawn point lie) is a search for the token at which a sum along an order passes a mark. The search descends
// over the digits of a 64-bit key that states the order, with a histogram per digit. Weights are integers, so the sums
// do not depend on the order of additions.
#include "common.cuh"

constexpr int BINS = 256;
constexpr int DIGITS = 8;
constexpr float WEIGHT_ONE = 1099511627776.f;  // 2^40, the weight of the likeliest token

// How a row's token is drawn; as `Draw` in Rust.
struct Draw {
  double point;
  float temperature, top_p, min_p;
  uint32_t top_k;
};

struct SampleShared {
  unsigned long long mass[BINS];
  uint32_t count[BINS];
  unsigned long long before, prefix, total;
  float values[32];
  int places[32];
  uint32_t alone;
  int found;
};

struct Row {
  const float* logits;
  int size;
  float greatest, temperature;
  bool sorted;  // heaviest first, else as numbered

  __device__ inline float weight(float logit) const {
    if (greatest == INFINITY) return logit == greatest ? 1.f : 0.f;
    return logit > -INFINITY ? expf((logit - greatest) / temperature) : 0.f;
  }
  __device__ inline unsigned long long mass(float logit) const {
    return (unsigned long long)(weight(logit) * WEIGHT_ONE);
  }
  // States the order: the distance to the greatest logit, coarsely first, so that the first digit spreads well.
  __device__ inline unsigned long long key(int i) const {
    if (!sorted) return (unsigned long long)i << 40;
    const float logit = logits[i];
    const uint32_t coarse = greatest == INFINITY ? 0 : uint32_t(fminf((greatest - logit) / temperature * 8.f, 255.f));
    const uint32_t bits = __float_as_uint(logit == 0.f ? 0.f : logit);
    const uint32_t descending = bits >> 31 ? bits : ~(bits | 0x80000000u);
    return (unsigned long long)coarse << 56 | (unsigned long long)descending << 24 | (unsigned long long)i;
  }
};

// What is added up along the order.
enum class Sum { MASS, COUNT };

// The bin in which the sum passes `mark`; adds what lies before it. Called by one warp.
__device__ inline void pick_bin(SampleShared& s, unsigned long long mark, Sum sum, int lane) {
  constexpr int EACH = BINS / 32;
  unsigned long long own = 0;
  for (int i = 0; i < EACH; i++) own += sum == Sum::MASS ? s.mass[lane * EACH + i] : s.count[lane * EACH + i];
  unsigned long long through = own;
  for (int by = 1; by < 32; by *= 2) {
    const unsigned long long left = shuffle_up(through, by);
    if (lane >= by) through += left;
  }
  unsigned long long before = s.before + through - own;
  __syncwarp();
  if (before > mark || before + own <= mark) return;
  for (int i = 0; i < EACH; i++) {
    const int bin = lane * EACH + i;
    const unsigned long long here = sum == Sum::MASS ? s.mass[bin] : s.count[bin];
    if (before + here > mark) {
      s.before = before;
      s.prefix = s.prefix << 8 | (unsigned long long)bin;
      s.alone = s.count[bin] == 1;
      return;
    }
    before += here;
  }
}

// The token at which the sum along the order becomes greater than `mark`, which must be less than the whole sum.
__device__ inline int search(SampleShared& s, const Row& row, unsigned long long mark, Sum sum) {
  if (threadIdx.x == 0) s.before = s.prefix = s.alone = 0;
  int digits = 0;
  __syncthreads();
  while (digits < DIGITS && !s.alone) {
    for (int i = threadIdx.x; i < BINS; i += blockDim.x) s.mass[i] = s.count[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < row.size; i += blockDim.x) {
      const unsigned long long mass = row.mass(row.logits[i]);
      if (mass == 0) continue;
      const unsigned long long key = row.key(i);
      if (digits > 0 && key >> (64 - 8 * digits) != s.prefix) continue;
      const int bin = int(key >> (56 - 8 * digits) & 255);
      atomicAdd(&s.mass[bin], mass);
      atomicAdd(&s.count[bin], 1u);
    }
    __syncthreads();
    if (threadIdx.x < 32) pick_bin(s, mark, sum, threadIdx.x);
    __syncthreads();
    digits++;
  }
  for (int i = threadIdx.x; i < row.size; i += blockDim.x)
    if (row.mass(row.logits[i]) != 0 && row.key(i) >> (64 - 8 * digits) == s.prefix) s.found = i;
  __syncthreads();
  return s.found;
}

// The whole mass of the tokens whose weight is at least `least`.
__device__ inline unsigned long long mass_of(SampleShared& s, const Row& row, float least) {
  if (threadIdx.x == 0) s.total = 0;
  __syncthreads();
  unsigned long long mass = 0;
  for (int i = threadIdx.x; i < row.size; i += blockDim.x)
    if (row.weight(row.logits[i]) >= least) mass += row.mass(row.logits[i]);
  atomicAdd(&s.total, mass);
  __syncthreads();
  const unsigned long long total = s.total;
  __syncthreads();
  return total;
}

// The mass along the order up to and with `token`, which `search` has just found by `sum`.
__device__ inline unsigned long long mass_through(SampleShared& s, const Row& row, int token) {
  if (threadIdx.x == 0) s.total = 0;
  __syncthreads();
  const unsigned long long last = row.key(token);
  unsigned long long mass = 0;
  for (int i = threadIdx.x; i < row.size; i += blockDim.x)
    if (row.mass(row.logits[i]) != 0 && row.key(i) <= last) mass += row.mass(row.logits[i]);
  atomicAdd(&s.total, mass);
  __syncthreads();
  const unsigned long long total = s.total;
  __syncthreads();
  return total;
}

// Tokens of weight above 0.
__device__ inline unsigned long long candidates(SampleShared& s, const Row& row) {
  if (threadIdx.x == 0) s.total = 0;
  __syncthreads();
  unsigned long long count = 0;
  for (int i = threadIdx.x; i < row.size; i += blockDim.x) count += row.mass(row.logits[i]) != 0;
  atomicAdd(&s.total, count);
  __syncthreads();
  count = s.total;
  __syncthreads();
  return count;
}

// The greatest logit's place, the first of equals; -1 when there is no number.
__device__ inline int greatest_of(SampleShared& s, const float* logits, int size) {
  float best = -INFINITY;
  int place = -1;
  for (int i = threadIdx.x; i < size; i += blockDim.x)
    if (logits[i] > best) best = logits[place = i];
  const auto better = [&](float other, int at) {
    if (at >= 0 && (place < 0 || other > best || (other == best && at < place))) best = other, place = at;
  };
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (int round = 0; round < 2; round++) {
    for (int offset = 16; offset > 0; offset /= 2) {
      const float other = shuffle_xor(best, offset);
      better(other, shuffle_xor(place, offset));
    }
    if (round == 1) break;
    if (lane == 0) s.values[warp] = best, s.places[warp] = place;
    __syncthreads();
    best = lane < warps ? s.values[lane] : -INFINITY;
    place = lane < warps ? s.places[lane] : -1;
  }
  __syncthreads();
  return place;
}

// logits [rows][size]; tokens [rows], -1 where the logits hold no number. One block per row.
KERNEL sample(int* tokens, const float* logits, const Draw* draws, int size) {
  SHARED(SampleShared, shared);
  const float* own = logits + size_t(blockIdx.x) * size;
  const Draw draw = draws[blockIdx.x];
  int token = greatest_of(shared, own, size);
  if (token >= 0 && draw.temperature > 0.f) {
    Row row = {own, size, own[token], draw.temperature, true};
    unsigned long long kept = mass_of(shared, row, 0.f);
    bool filtered = false;
    if (draw.top_k > 0 && draw.top_k < candidates(shared, row)) {
      kept = mass_through(shared, row, search(shared, row, draw.top_k - 1, Sum::COUNT));
      filtered = true;
    }
    if (draw.top_p < 1.f) {
      const unsigned long long wanted = (unsigned long long)ceil(double(kept) * double(draw.top_p));
      kept = mass_through(shared, row, search(shared, row, wanted > 0 ? wanted - 1 : 0, Sum::MASS));
      filtered = true;
    }
    if (draw.min_p > 0.f) {
      const unsigned long long likely = mass_of(shared, row, draw.min_p);
      kept = likely < kept ? likely : kept;
      filtered = true;
    }
    row.sorted = filtered;
    token = search(shared, row, (unsigned long long)(draw.point * double(kept)), Sum::MASS);
  }
  if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}
EXPORT(sample)

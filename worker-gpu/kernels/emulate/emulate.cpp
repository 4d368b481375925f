// The emulated device: runs a kernel's blocks one after the other, each as a set of fibers.
#include "host.hpp"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

namespace emulate {
Dim3 block, blocks, thread, threads;

namespace {
constexpr size_t STACK = 64 << 10, SHARED_BYTES = 48 << 10, PAGE = 4096;
constexpr int MAX_THREADS = 1024, MAX_COPIES = 512;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

enum class State { RUNS, AT_BLOCK, AT_WARP, ENDED };

struct Copy {
  void* to;
  const void* from;
  bool take;
};

struct Fiber {
  ucontext_t start;
  jmp_buf at;
  State state;
  bool begun;
  unsigned exchanges;
  // Copies in order, and where each group of them ends.
  std::vector<Copy> copies;
  std::vector<size_t> groups;
};

struct Warp {
  // Two sets in turn, since a fast lane may begin the next exchange before a slow one has read this one.
  alignas(16) unsigned char bytes[2][32][32];
  const void* lanes[2][32];
};

std::vector<Fiber> fibers(MAX_THREADS);
std::vector<Warp> warps(MAX_THREADS / 32);
unsigned char* stacks = nullptr;
unsigned char* shared_memory = nullptr;
jmp_buf scheduler;
unsigned current;
uint64_t random_state = 1;
void (*entry)(void**);
void** arguments;

std::map<std::string, void (*)(void**)>& kernels() {
  static std::map<std::string, void (*)(void**)> all;
  return all;
}

uint64_t random_number() {
  random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
  return random_state;
}

// Memory whose end is followed by a page that nobody may touch.
unsigned char* guarded(size_t bytes) {
  const size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
  void* at = mmap(nullptr, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  mprotect(static_cast<unsigned char*>(at) + whole, PAGE, PROT_NONE);
  return static_cast<unsigned char*>(at);
}

void yield(State state) {
  fibers[current].state = state;
  if (_setjmp(fibers[current].at) == 0) _longjmp(scheduler, 1);
}

void body() {
  entry(arguments);
  if (!fibers[current].copies.empty()) await_copies(0);
  fibers[current].state = State::ENDED;
  _longjmp(scheduler, 1);
}

void resume(unsigned i) {
  current = i;
  thread = {i, 0, 0};
  Fiber& fiber = fibers[i];
  fiber.state = State::RUNS;
  if (_setjmp(scheduler) != 0) return;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = stacks + i * STACK;
  fiber.start.uc_stack.ss_size = STACK;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, body, 0);
  setcontext(&fiber.start);
}

// Lets the lanes of a warp go on when all are there. A warp of which some have ended or wait elsewhere is an error.
bool release_warp(unsigned warp) {
  unsigned there = 0, elsewhere = 0;
  for (unsigned i = warp * 32; i < warp * 32 + 32; i++) {
    there += fibers[i].state == State::AT_WARP;
    elsewhere += fibers[i].state == State::AT_BLOCK || fibers[i].state == State::ENDED;
  }
  if (there == 0) return false;
  if (elsewhere > 0) die("a warp's lanes have parted at an operation of the whole warp");
  for (unsigned i = warp * 32; i < warp * 32 + 32; i++) fibers[i].state = State::RUNS;
  return true;
}

bool release_block() {
  unsigned there = 0;
  for (unsigned i = 0; i < threads.x; i++) there += fibers[i].state == State::AT_BLOCK;
  if (there == 0) return false;
  if (there < threads.x) die("a barrier of the block that not all threads reach");
  for (unsigned i = 0; i < threads.x; i++) fibers[i].state = State::RUNS;
  return true;
}

// Runs a warp until it waits for the block or ends, while the others stand still: whoever forgot a barrier is overtaken.
void run_warp(unsigned warp) {
  do {
    const unsigned first = random_number() % 32;
    const bool backwards = random_number() % 2;
    for (unsigned n = 0; n < 32; n++) {
      const unsigned i = warp * 32 + (backwards ? first + 32 - n : first + n) % 32;
      if (fibers[i].state == State::RUNS) resume(i);
    }
  } while (release_warp(warp));
}

void run_block() {
  std::memset(shared_memory, 0xff, SHARED_BYTES);
  for (unsigned i = 0; i < threads.x; i++) {
    fibers[i].state = State::RUNS;
    fibers[i].begun = false;
    fibers[i].exchanges = 0;
    fibers[i].copies.clear();
    fibers[i].groups.clear();
  }
  const unsigned count = threads.x / 32;
  do {
    const unsigned first = random_number() % count;
    for (unsigned n = 0; n < count; n++) run_warp((first + n) % count);
  } while (release_block());
}
}  // namespace

void* shared(size_t bytes) {
  if (bytes > SHARED_BYTES) die("more than 48 KiB of shared memory");
  return shared_memory + (SHARED_BYTES - (bytes + 15) / 16 * 16);
}

void wait_block() { yield(State::AT_BLOCK); }

const void* const* exchange(const void* own, size_t bytes) {
  Warp& warp = warps[current / 32];
  const unsigned set = fibers[current].exchanges++ % 2, lane = current % 32;
  if (bytes > sizeof(warp.bytes[0][0])) die("an exchange that is too large");
  if (bytes > 0) std::memcpy(warp.bytes[set][lane], own, bytes);
  warp.lanes[set][lane] = warp.bytes[set][lane];
  yield(State::AT_WARP);
  return warp.lanes[set];
}

void copy(const Copy& copy) {
  if (copy.take) std::memcpy(copy.to, copy.from, 16);
  else std::memset(copy.to, 0, 16);
}

void copy_later(void* to, const void* from, bool take) {
  if (random_number() % 2) return copy({to, from, take});
  auto& copies = fibers[current].copies;
  if (copies.size() == MAX_COPIES) die("too many copies at once");
  copies.push_back({to, from, take});
}

void end_copies() { fibers[current].groups.push_back(fibers[current].copies.size()); }

void await_copies(int pending) {
  Fiber& fiber = fibers[current];
  while (fiber.groups.size() > size_t(pending)) {
    const size_t count = fiber.groups.front();
    for (size_t i = 0; i < count; i++) copy(fiber.copies[i]);
    fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + count);
    fiber.groups.erase(fiber.groups.begin());
    for (size_t& group : fiber.groups) group -= count;
  }
}

void export_kernel(const char* name, void (*call)(void**)) { kernels()[name] = call; }
}  // namespace emulate

// Runs a kernel; 0, or 1 when there is none of that name or its block cannot be emulated. One call at a time.
extern "C" int emulate_launch(const char* name, const unsigned grid[3], unsigned block_threads, void** args, uint64_t seed) {
  using namespace emulate;
  const auto found = kernels().find(name);
  if (found == kernels().end() || block_threads % 32 != 0 || block_threads > MAX_THREADS) return 1;
  if (!stacks) stacks = guarded(STACK * MAX_THREADS);
  if (!shared_memory) shared_memory = guarded(SHARED_BYTES);
  random_state = seed * 2 + 1;
  entry = found->second;
  arguments = args;
  blocks = {grid[0], grid[1], grid[2]};
  threads = {block_threads, 1, 1};
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        block = {x, y, z};
        run_block();
      }
  return 0;
}

// Memory that begins as NaN and at whose end any further access ends the program; 16-byte aligned.
extern "C" void* emulate_allocate(size_t bytes) {
  unsigned char* at = emulate::guarded(bytes);
  if (!at) return nullptr;
  const size_t whole = (bytes + emulate::PAGE - 1) / emulate::PAGE * emulate::PAGE;
  std::memset(at, 0xff, whole);
  return at + (whole - (bytes + 15) / 16 * 16);
}

extern "C" void emulate_free(void* memory, size_t bytes) {
  const size_t whole = (bytes + emulate::PAGE - 1) / emulate::PAGE * emulate::PAGE;
  munmap(static_cast<unsigned char*>(memory) - (whole - (bytes + 15) / 16 * 16), whole + emulate::PAGE);
}

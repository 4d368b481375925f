// All kernels as one module.
#include "activation.cu"
#include "decode.cu"
#include "embed.cu"
#include "norm.cu"
#include "prefill.cu"
#include "qkv.cu"
#include "sample.cu"
#include "w4a16.cu"

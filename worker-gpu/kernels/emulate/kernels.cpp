// The kernels, compiled for the emulated device.
#include "../kernels.cu"

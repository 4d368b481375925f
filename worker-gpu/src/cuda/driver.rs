//! A real GPU, through the CUDA driver.
#![expect(
    unsafe_code,
    reason = "every call of the driver is foreign; addresses come from `Buffer`, which checks ranges"
)]

use super::{
    blas::Blas,
    device::{Arg, Device, DeviceError, Product, Recording},
};
use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg, result,
        sys::{self, CUdevice_attribute as Attribute},
    },
    nvrtc::Ptx,
};
use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Machine code for each supported generation of GPUs; the driver picks.
static KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The oldest generation with bf16 on tensor cores.
const OLDEST: (i32, i32) = (8, 0);

/// Opens GPU `ordinal`, as the driver counts them.
pub(crate) fn open(ordinal: usize) -> Result<Arc<dyn Device>, DeviceError> {
    // SAFETY: looks for a shared library.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::refused("libcuda", "not found; install NVIDIA's driver"));
    }
    // SAFETY: as above.
    if !unsafe { cudarc::cublaslt::sys::is_culib_present() } {
        return Err(DeviceError::refused("libcublasLt", "not found; put CUDA's libraries on LD_LIBRARY_PATH"));
    }
    let refused = |error| refused(&format!("cuda:{ordinal}"), error);
    let context = CudaContext::new(ordinal).map_err(refused)?;
    let generation = context.compute_capability().map_err(refused)?;
    if generation < OLDEST {
        let (major, minor) = generation;
        let problem = format!("compute capability {major}.{minor}; at least 8.0 (A100) is needed");
        return Err(DeviceError::refused(format!("cuda:{ordinal}"), problem));
    }
    // SAFETY: there is one stream, so nothing needs events to wait for.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().map_err(refused)?;
    let module = context.load_module(Ptx::from_binary(KERNELS.to_vec())).map_err(refused)?;
    let processors = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).map_err(refused)?;
    let gpu = Gpu {
        blas: Mutex::new(Blas::new(&stream)?),
        module,
        functions: Mutex::default(),
        processors: usize::try_from(processors).unwrap_or(1),
        stream,
    };
    tracing::info!(gpu = context.name().unwrap_or_default(), ?generation, processors, "the GPU is open");
    Ok(Arc::new(gpu))
}

struct Gpu {
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    /// Kernels by name; as many as `kernels/*.cu` have.
    functions: Mutex<HashMap<String, CudaFunction>>,
    blas: Mutex<Blas>,
    processors: usize,
}

struct Memory {
    address: u64,
    context: Arc<CudaContext>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated by `Gpu::allocate` and freed once. Freeing waits for the work that still uses it.
        let freed = self.context.bind_to_thread().and_then(|()| unsafe { result::free_sync(self.address) });
        if let Err(error) = freed {
            tracing::error!(%error, "GPU memory cannot be freed");
        }
    }
}

impl Gpu {
    fn function(&self, kernel: &str) -> Result<CudaFunction, DeviceError> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(kernel) {
            return Ok(function.clone());
        }
        let function = self.module.load_function(kernel).map_err(|error| refused(kernel, error))?;
        functions.insert(kernel.into(), function.clone());
        Ok(function)
    }

    /// Makes this thread work on this GPU.
    fn bind(&self) -> Result<(), DeviceError> {
        self.stream.context().bind_to_thread().map_err(|error| refused("the GPU's context", error))
    }
}

impl Device for Gpu {
    fn allocate(&self, bytes: usize) -> Result<(u64, Box<dyn Any + Send>), DeviceError> {
        self.bind()?;
        // SAFETY: the memory is freed by its owner alone.
        let address =
            unsafe { result::malloc_sync(bytes) }.map_err(|error| refused(&format!("{bytes} bytes"), error))?;
        Ok((address, Box::new(Memory { address, context: self.stream.context().clone() })))
    }

    fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.bind()?;
        // SAFETY: `Buffer` has checked the range. The driver copies pageable memory before it returns.
        let done = unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) };
        done.map_err(|error| refused("an upload", error))
    }

    fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.bind()?;
        // SAFETY: `Buffer` has checked the range, and `bytes` is borrowed until the copy has ended.
        let done = unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) };
        done.and_then(|()| self.stream.synchronize()).map_err(|error| refused("a download", error))
    }

    fn launch(&self, kernel: &str, grid: [u32; 3], threads: u32, args: &[Arg]) -> Result<(), DeviceError> {
        self.bind()?;
        let function = self.function(kernel)?;
        let mut call = self.stream.launch_builder(&function);
        for arg in args {
            match arg {
                Arg::At(address) => call.arg(address),
                Arg::Int(value) => call.arg(value),
                Arg::Float(value) => call.arg(value),
            };
        }
        let [x, y, z] = grid;
        let config = LaunchConfig { grid_dim: (x, y, z), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: `kernels` passes what the kernel's signature states, with addresses of checked length.
        unsafe { call.launch(config) }.map(drop).map_err(|error| refused(kernel, error))
    }

    fn multiply(&self, product: &Product) -> Result<(), DeviceError> {
        self.bind()?;
        self.blas.lock().unwrap_or_else(PoisonError::into_inner).multiply(product)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<(), DeviceError>) -> Result<Box<dyn Recording>, DeviceError> {
        let failed = |error| refused("recording a graph", error);
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(failed)?;
        let done = work();
        // Ended in any case, since a stream that still records can do nothing else.
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).map_err(failed);
        done?;
        let graph = graph?.ok_or_else(|| DeviceError::refused("recording a graph", "it is empty"))?;
        graph.upload().map_err(failed)?;
        Ok(Box::new(Graph(graph)))
    }

    fn free_bytes(&self) -> Result<usize, DeviceError> {
        let (free, _) = self.stream.context().mem_get_info().map_err(|error| refused("free memory", error))?;
        Ok(free)
    }

    fn processors(&self) -> usize {
        self.processors
    }
}

struct Graph(CudaGraph);

// SAFETY: a graph may be used by any thread, but by one at a time; it has one owner, and replaying needs the runner.
unsafe impl Send for Graph {}

impl Recording for Graph {
    fn replay(&self) -> Result<(), DeviceError> {
        self.0.launch().map_err(|error| refused("replaying a graph", error))
    }
}

fn refused(doing: &str, error: DriverError) -> DeviceError {
    DeviceError::refused(doing, error)
}

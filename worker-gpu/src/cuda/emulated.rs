//! A device for tests without a GPU: the kernels' own sources, compiled by the host's C++ compiler and run thread by thread.
#![expect(unsafe_code, reason = "calls the compiled kernels; every address comes from the emulator's own allocator")]

use super::device::{Arg, Device, DeviceError, Product, Recording};
use half::bf16;
use libloading::{Library, Symbol};
use sha2::{Digest, Sha256};
use std::{
    any::Any,
    ffi::{CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

type Launch = unsafe extern "C" fn(*const c_char, *const [u32; 3], u32, *mut *mut c_void, u64) -> c_int;

/// The emulated device; `None`, said aloud, where there is no C++ compiler.
pub(crate) fn device() -> Option<Arc<dyn Device>> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let Some(library) = LIBRARY.get_or_init(load) else {
        eprintln!("SKIPPED: the CUDA kernels are not tested, because there is no C++ compiler (g++) for the emulator");
        return None;
    };
    Some(Arc::new(Emulated(Arc::new(Machine { library, recorded: Mutex::new(None), launches: AtomicU64::new(0) }))))
}

fn load() -> Option<Library> {
    let built = build()?;
    // SAFETY: the library is ours, and its initialisation only fills a table of kernels.
    Some(unsafe { Library::new(built) }.unwrap())
}

/// Compiles the kernels next to the test's executable, unless the same sources were compiled before.
fn build() -> Option<PathBuf> {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let emulator = kernels.join("emulate");
    let mut hash = Sha256::new();
    for dir in [&kernels, &emulator] {
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().filter(|path| path.is_file()).for_each(|path| hash.update(std::fs::read(path).unwrap()));
    }
    let name: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let built = std::env::current_exe().unwrap().with_file_name(format!("kernels-{name}.so"));
    if built.exists() {
        return Some(built);
    }
    let part = built.with_extension(format!("{}.part", std::process::id()));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unknown-pragmas", "-o"];
    let sources = [emulator.join("emulate.cpp"), emulator.join("kernels.cpp")];
    let run = Command::new(compiler).args(flags).arg(&part).args(sources).output().ok()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    std::fs::rename(&part, &built).unwrap();
    Some(built)
}

struct Emulated(Arc<Machine>);

struct Machine {
    library: &'static Library,
    /// What is being recorded.
    recorded: Mutex<Option<Vec<Call>>>,
    /// How many kernels have run; seeds the order of their threads.
    launches: AtomicU64,
}

#[derive(Clone)]
enum Call {
    Kernel { name: CString, grid: [u32; 3], threads: u32, args: Vec<Arg> },
    Product(Product),
}

struct Recorded {
    machine: Arc<Machine>,
    calls: Vec<Call>,
}

impl Recording for Recorded {
    fn replay(&self) -> Result<(), DeviceError> {
        self.calls.iter().try_for_each(|call| self.machine.run(call))
    }
}

/// One emulated kernel at a time in the whole process.
static RUNNING: Mutex<()> = Mutex::new(());

struct Memory {
    library: &'static Library,
    address: usize,
    bytes: usize,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the emulator's own memory, given back once, with the size it was taken with.
        unsafe {
            let free: Symbol<'_, unsafe extern "C" fn(*mut c_void, usize)> =
                self.library.get(b"emulate_free\0").unwrap();
            free(self.address as *mut c_void, self.bytes);
        }
    }
}

impl Device for Emulated {
    fn allocate(&self, bytes: usize) -> Result<(u64, Box<dyn Any + Send>), DeviceError> {
        // SAFETY: the function's type is as its source states.
        let address = unsafe {
            let allocate: Symbol<'_, unsafe extern "C" fn(usize) -> *mut c_void> =
                self.0.library.get(b"emulate_allocate\0").unwrap();
            allocate(bytes) as usize
        };
        assert_ne!(address, 0, "out of memory");
        Ok((address as u64, Box::new(Memory { library: self.0.library, address, bytes })))
    }

    fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        // SAFETY: `Buffer` checks the range against its own memory, which `bytes` cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        // SAFETY: as in `upload`.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn launch(&self, kernel: &str, grid: [u32; 3], threads: u32, args: &[Arg]) -> Result<(), DeviceError> {
        self.0.take(Call::Kernel { name: CString::new(kernel).unwrap(), grid, threads, args: args.to_vec() })
    }

    fn multiply(&self, product: &Product) -> Result<(), DeviceError> {
        self.0.take(Call::Product(*product))
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<(), DeviceError>) -> Result<Box<dyn Recording>, DeviceError> {
        *self.0.recorded() = Some(Vec::new());
        let done = work();
        let calls = self.0.recorded().take().unwrap();
        done?;
        Ok(Box::new(Recorded { machine: self.0.clone(), calls }))
    }

    fn free_bytes(&self) -> Result<usize, DeviceError> {
        Ok(64 << 20)
    }

    fn processors(&self) -> usize {
        4
    }
}

impl Machine {
    fn recorded(&self) -> MutexGuard<'_, Option<Vec<Call>>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the call, or runs it.
    fn take(&self, call: Call) -> Result<(), DeviceError> {
        if let Some(calls) = self.recorded().as_mut() {
            calls.push(call);
            return Ok(());
        }
        self.run(&call)
    }

    fn run(&self, call: &Call) -> Result<(), DeviceError> {
        match call {
            Call::Kernel { name, grid, threads, args } => self.launch(name, grid, *threads, args),
            Call::Product(product) => {
                multiply(product);
                Ok(())
            }
        }
    }

    fn launch(&self, name: &CString, grid: &[u32; 3], threads: u32, args: &[Arg]) -> Result<(), DeviceError> {
        let value = |arg: &Arg| match *arg {
            Arg::At(address) => address,
            Arg::Int(value) => u64::from(value.cast_unsigned()),
            Arg::Float(value) => u64::from(value.to_bits()),
        };
        let mut values: Vec<u64> = args.iter().map(value).collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let seed = self.launches.fetch_add(1, Ordering::Relaxed);
        let _one = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the pointers outlive the call, and their number and types are the kernel's, as on a real device.
        let status = unsafe {
            let launch: Symbol<'_, Launch> = self.library.get(b"emulate_launch\0").unwrap();
            launch(name.as_ptr(), grid, threads, pointers.as_mut_ptr(), seed)
        };
        if status == 0 { Ok(()) } else { Err(DeviceError::refused(name.to_string_lossy(), "no such kernel")) }
    }
}

fn multiply(product: &Product) {
    let Product { rows, outputs, inputs, out_stride, .. } = *product;
    // SAFETY: `linear` checks the sizes of all three; nothing else runs.
    let (x, weights) = unsafe {
        (
            std::slice::from_raw_parts(product.x as *const bf16, rows * inputs),
            std::slice::from_raw_parts(product.weights as *const bf16, outputs * inputs),
        )
    };
    for (row, x) in x.chunks_exact(inputs).enumerate() {
        for (output, weights) in weights.chunks_exact(inputs).enumerate() {
            let sum: f32 = x.iter().zip(weights).map(|(x, w)| x.to_f32() * w.to_f32()).sum();
            let at = row * out_stride + output;
            // SAFETY: as above.
            unsafe {
                match product.wide {
                    true => *(product.out as *mut f32).add(at) = sum,
                    false => *(product.out as *mut bf16).add(at) = bf16::from_f32(sum),
                }
            }
        }
    }
}

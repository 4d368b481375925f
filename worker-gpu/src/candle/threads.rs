//! How many threads compute.
//!
//! candle multiplies on a pool of its own, whose size it reads from `CANDLE_NUM_THREADS` (else `RAYON_NUM_THREADS`, else
//! the machine's physical cores, even where a container may use fewer). Its threads wait by spinning, so one too many
//! makes everything slow. The variable can only be set from outside the process or before it has threads.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::num::NonZero;

/// What `inference.threads` means here; 0: one per physical core, but no more than the process may use.
pub(crate) fn wanted(configured: usize) -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, NonZero::get);
    if configured > 0 { configured } else { num_cpus::get_physical().clamp(1, allowed) }
}

/// Attention and element-wise work run on this pool.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    let multiplying = candle_core::utils::barrier_pool().n_workers() + 1;
    if multiplying != threads {
        tracing::warn!(
            multiplying,
            threads,
            "candle multiplies with another number of threads than inference.threads; start the process with CANDLE_NUM_THREADS={threads}"
        );
    }
    ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("compute-{number}")).build()
}

/// The environment variable that makes candle's pool as large as `inference.threads` wants it, if it is not set yet.
/// A process can only give it to itself by executing itself again.
pub fn environment(configured: usize) -> Option<(&'static str, String)> {
    let name = "CANDLE_NUM_THREADS";
    std::env::var_os(name).is_none().then(|| (name, wanted(configured).to_string()))
}

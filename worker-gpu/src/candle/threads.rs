//! How many threads compute.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::num::NonZero;

/// What `inference.threads` means here; 0: one per physical core, but no more than the process may use.
pub(crate) fn wanted(configured: usize) -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, NonZero::get);
    if configured > 0 { configured } else { num_cpus::get_physical().clamp(1, allowed) }
}

/// Everything that an engine computes runs on a pool of its own, whose threads sleep when they wait.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("compute-{number}")).build()
}

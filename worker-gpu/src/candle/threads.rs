//! How many threads compute, and who spreads the work over them.
//!
//! candle multiplies on a pool of its own, whose size it reads from `CANDLE_NUM_THREADS` (else `RAYON_NUM_THREADS`, else
//! the machine's physical cores, even where a container may use fewer). Its threads wait by spinning, so that on a busy
//! machine everything becomes ten times slower. With `CANDLE_NUM_THREADS=1` candle works on the calling thread, and this
//! crate cuts the weights into shards for a pool whose threads sleep when they wait. The variable can only be set from
//! outside the process, or by the process executing itself again: see [`environment`].

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::num::NonZero;

/// What `inference.threads` means here; 0: one per physical core, but no more than the process may use.
pub(crate) fn wanted(configured: usize) -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, NonZero::get);
    if configured > 0 { configured } else { num_cpus::get_physical().clamp(1, allowed) }
}

/// Into how many shards each weight is cut: one per thread, since each prepares its input anew. 1: candle spreads the
/// work.
pub(crate) fn shards(threads: usize) -> usize {
    if candle_threads() == 1 && has_fused_kernel() { threads } else { 1 }
}

/// Everything that this crate spreads itself runs on this pool.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    let candle = candle_threads();
    if shards(threads) == 1 && candle != threads {
        let (name, value) = recommended(threads);
        tracing::warn!(
            candle,
            threads,
            "candle multiplies with another number of threads than inference.threads; start the process with {name}={value}"
        );
    }
    ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("compute-{number}")).build()
}

/// The environment variable with which the engine is fastest on `inference.threads`, unless it is set already.
pub fn environment(threads: usize) -> Option<(&'static str, String)> {
    let (name, value) = recommended(wanted(threads));
    std::env::var_os(name).is_none().then(|| (name, value.to_string()))
}

fn recommended(threads: usize) -> (&'static str, usize) {
    ("CANDLE_NUM_THREADS", if has_fused_kernel() { 1 } else { threads })
}

fn candle_threads() -> usize {
    candle_core::utils::barrier_pool().n_workers() + 1
}

/// Whether candle multiplies one input with several shards without preparing it for each.
fn has_fused_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

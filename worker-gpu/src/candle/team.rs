//! Threads that work on one forward pass together.
//!
//! A pass has hundreds of parallel regions of some ten microseconds each. Waking a sleeping thread takes longer than many
//! of them, so helpers wait for the next region by spinning for a moment and only then sleep; between passes they are the
//! pool's again, whose threads sleep. The caller works as well and takes whatever no helper has begun, so a thread that
//! the system has taken away delays nothing but the piece it is at.
#![expect(unsafe_code, reason = "helpers outlive the regions that they are lent")]

use std::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

/// Turns of waiting before a thread sleeps: some ten microseconds.
const PATIENCE: u32 = 1_000;
/// In [`Team::state`]: a region is open to helpers.
const OPEN: u64 = 1 << 31;
/// In [`Team::state`]: how many helpers are in the region. The bits above both number the regions.
const INSIDE: u64 = OPEN - 1;

type Work<'a> = dyn Fn() + Sync + 'a;

/// The threads of the current rayon pool, lent to one caller.
pub(crate) struct Team {
    threads: usize,
    state: AtomicU64,
    /// The open region's work.
    work: UnsafeCell<*const Work<'static>>,
    over: AtomicBool,
    /// Whether somebody is in [`Team::each`].
    busy: AtomicBool,
    /// Helpers and the caller that sleep.
    sleepers: AtomicU32,
    lock: Mutex<()>,
    changed: Condvar,
}

// SAFETY: `work` is written only while no helper is inside a region and none can enter one.
unsafe impl Sync for Team {}

impl Team {
    /// Calls `work` with a team of the current pool's threads.
    pub fn gather<R: Send>(work: impl FnOnce(&Self) -> R + Send) -> R {
        let threads = rayon::current_num_threads();
        let nothing: *const Work<'static> = &|| ();
        let team = Self {
            threads,
            state: AtomicU64::new(0),
            work: UnsafeCell::new(nothing),
            over: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        };
        rayon::scope(|scope| {
            let _dismissed = OnDrop(|| {
                team.over.store(true, SeqCst);
                team.wake();
            });
            (1..threads).for_each(|_| scope.spawn(|_| team.help()));
            work(&team)
        })
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Does `work` to each item, on all threads; returns when all are done. Within `work` only this thread is used.
    pub fn each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Sync) {
        if self.threads == 1 || items.len() < 2 || self.busy.swap(true, SeqCst) {
            return items.into_iter().for_each(work);
        }
        let _idle = OnDrop(|| self.busy.store(false, SeqCst));
        let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let next = AtomicUsize::new(0);
        self.region(&|| {
            while let Some(item) = items.get(next.fetch_add(1, SeqCst)) {
                if let Some(item) = locked(item).take() {
                    work(item);
                }
            }
        });
    }

    /// Runs `work` on this thread and on all helpers that come before it ends here.
    fn region(&self, work: &Work<'_>) {
        let work: *const Work<'_> = work;
        // SAFETY: only the lifetime changes. Helpers use the pointer while they are inside the region, and this function
        // does not return before all have left it.
        let erased = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        // SAFETY: no region is open, since `busy` lets one caller in at a time, and no helper is inside.
        unsafe { *self.work.get() = erased };
        let number = (self.state.load(SeqCst) >> 32) + 1;
        self.state.store(number << 32 | OPEN, SeqCst);
        self.wake();
        let _closed = OnDrop(|| {
            self.state.fetch_and(!OPEN, SeqCst);
            self.wait_until(|| self.state.load(SeqCst) & INSIDE == 0);
        });
        // SAFETY: it is the argument.
        unsafe { (*work)() };
    }

    fn help(&self) {
        let mut last = 0;
        loop {
            self.wait_until(|| self.over.load(SeqCst) || is_new(self.state.load(SeqCst), last));
            if self.over.load(SeqCst) {
                return;
            }
            let state = self.state.load(SeqCst);
            if is_new(state, last) && self.state.compare_exchange(state, state + 1, SeqCst, SeqCst).is_ok() {
                last = state >> 32;
                let _left = OnDrop(|| {
                    self.state.fetch_sub(1, SeqCst);
                    self.wake();
                });
                // SAFETY: this thread was counted into the region while it was open, so the work is set and lives.
                unsafe { (**self.work.get())() };
            }
        }
    }

    fn wait_until(&self, ready: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if ready() {
                return;
            }
            spin_loop();
        }
        let mut guard = locked(&self.lock);
        self.sleepers.fetch_add(1, SeqCst);
        while !ready() {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// To be called after each change that a sleeper may wait for. Who is not seen here has yet to look at that change.
    fn wake(&self) {
        if self.sleepers.load(SeqCst) > 0 {
            let _guard = locked(&self.lock);
            self.changed.notify_all();
        }
    }
}

fn is_new(state: u64, last: u64) -> bool {
    state & OPEN != 0 && state >> 32 != last
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something at the end, even of a panic.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::ThreadPoolBuilder;
    use std::collections::BTreeSet;

    #[test]
    fn every_item_is_done_once_before_each_returns() {
        for threads in [1, 2, 5] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| {
                Team::gather(|team| {
                    assert_eq!(team.threads(), threads);
                    let mut numbers = vec![0u64; 300];
                    for round in 0..300 {
                        if round % 100 == 99 {
                            // Long enough for helpers to fall asleep.
                            std::thread::sleep(std::time::Duration::from_millis(2));
                        }
                        team.each(numbers.iter_mut().collect(), |number| *number += 1);
                        assert!(numbers.iter().all(|number| *number == round + 1));
                    }
                    numbers.into_iter().collect::<BTreeSet<u64>>()
                })
            });
            assert_eq!(found, BTreeSet::from([300]));
        }
    }

    #[test]
    fn a_panic_of_a_piece_reaches_the_caller() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let work = || pool.install(|| Team::gather(|team| team.each((0..50).collect(), |n: u32| assert_ne!(n, 20))));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        assert!(panicked.is_err());
    }
}

//! How many jobs of this node may wait for their start beyond the gate.
//!
//! What is in the shared queue is served in the order of arrival, so a few jobs there are fair and many are not; too few would
//! leave workers without one. The window is a sixteenth of the jobs that run, which delays a job by a sixteenth of an
//! answer's time at most, and grows beyond that while jobs start at once, which shows that nobody waits in the queue.

/// A job that starts within this time, in milliseconds, did not wait.
const AT_ONCE_MS: u64 = 50;
/// One that starts after this time did.
const LATE_MS: u64 = 150;
/// Running jobs for each one that may wait.
const RUNNING_PER_WAITING: usize = 16;
/// The largest window.
const MOST: usize = 1_024;

/// Jobs beyond the gate, by whether they have started.
#[derive(Debug)]
pub(super) struct Window {
    /// 0: without limit.
    least: usize,
    grown: usize,
    pending: usize,
    running: usize,
}

impl Window {
    pub fn new(least: usize) -> Self {
        Self { least, grown: least, pending: 0, running: 0 }
    }

    pub fn has_room(&self) -> bool {
        self.least == 0 || self.pending < self.size()
    }

    /// Jobs that may wait for their start.
    pub fn size(&self) -> usize {
        self.least.max(self.running / RUNNING_PER_WAITING).max(self.grown).min(MOST)
    }

    /// A job passes.
    pub fn pass(&mut self) {
        self.pending += 1;
    }

    /// A job started, `waited_ms` after it passed, while others waited in front of the gate or none did.
    pub fn start(&mut self, waited_ms: u64, others_wait: bool) {
        self.pending = self.pending.saturating_sub(1);
        self.running += 1;
        if waited_ms > LATE_MS {
            self.grown = (self.grown * 7 / 8).max(self.least);
        } else if waited_ms < AT_ONCE_MS && others_wait {
            self.grown = (self.grown + 1).min(MOST);
        }
    }

    /// A job ended, or left before it started.
    pub fn leave(&mut self, has_started: bool) {
        let count = if has_started { &mut self.running } else { &mut self.pending };
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_jobs_start_at_once_and_shrinks_when_they_wait() {
        let mut window = Window::new(4);
        let pass = |window: &mut Window, waited_ms| {
            window.pass();
            window.start(waited_ms, true);
            window.leave(true);
        };
        (0..100).for_each(|_| pass(&mut window, 5));
        assert_eq!(window.size(), 104);
        (0..10_000).for_each(|_| pass(&mut window, 5));
        assert_eq!(window.size(), MOST);
        (0..100).for_each(|_| pass(&mut window, 500));
        assert_eq!(window.size(), 4);
        (0..10).for_each(|_| pass(&mut window, 100));
        assert_eq!(window.size(), 4);
    }

    #[test]
    fn it_is_a_sixteenth_of_what_runs() {
        let mut window = Window::new(4);
        for _ in 0..320 {
            window.pass();
            window.start(100, true);
        }
        assert_eq!((window.size(), window.has_room()), (20, true));
        (0..20).for_each(|_| window.pass());
        assert!(!window.has_room());
        window.leave(false);
        assert!(window.has_room());
    }

    #[test]
    fn without_a_least_size_everybody_passes() {
        let mut window = Window::new(0);
        (0..10_000).for_each(|_| window.pass());
        assert!(window.has_room());
    }
}

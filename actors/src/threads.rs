//! The threads that run session actors: one actix system of their own, whatever runtime the caller is in.

use crate::StartError;
use actix::{Arbiter, ArbiterHandle, System};
use std::{io, sync::mpsc, thread};

/// The actors' threads; they end with [`Threads::stop`] or when this is dropped.
pub(crate) struct Threads {
    system: System,
    /// One per thread.
    pub arbiters: Vec<ArbiterHandle>,
}

impl Threads {
    pub fn start(count: usize) -> Result<Self, StartError> {
        let failed = |error: String| StartError::Arbiters(error);
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runner = System::new();
            let arbiters: Vec<Arbiter> = runner.block_on(async move { (0..count).map(|_| Arbiter::new()).collect() });
            let handles = arbiters.iter().map(Arbiter::handle).collect();
            let _ = tell.send((System::current(), handles));
            let ended: io::Result<()> = runner.run();
            if let Err(error) = ended {
                tracing::error!(%error, "the actors' threads ended");
            }
        };
        thread::Builder::new().name("actors".into()).spawn(run).map_err(|error| failed(error.to_string()))?;
        let (system, arbiters) = told.recv().map_err(|_| failed("the actors' thread ended at once".into()))?;
        Ok(Self { system, arbiters })
    }

    pub fn stop(&self) {
        self.system.stop();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

//! The engines of all devices as one: a job goes to the device that has its beginning in the cache, or to the least loaded.

mod route;

use crate::{
    driver::{self, AddError, Driver, Ended, Sequence},
    engine::Engine,
};
use metrics::gauge;
use protocol::{InferenceJob, TenantId};
use route::Known;
use runtime::metric;
use std::{
    cmp::Reverse,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc;

/// To be where its beginning is, a prompt waits behind so many more sequences than elsewhere: this part of the slots, and at
/// least one.
const DETOUR: usize = 4;

/// One engine and thread per device.
pub(crate) struct Fleet {
    devices: Vec<Driver>,
    /// What went to each of them.
    known: Mutex<Vec<Known>>,
}

impl Fleet {
    /// Moves each engine to a thread of its own. The receiver tells which of them ended, and why.
    pub fn start(engines: Vec<(String, Box<dyn Engine>)>) -> std::io::Result<(Self, mpsc::Receiver<Ended>)> {
        let (ended, ends) = mpsc::channel(engines.len().max(1));
        let known = Mutex::new(engines.iter().map(|_| Known::default()).collect());
        let start = |(device, engine): (String, _)| {
            gauge!(metric::DEVICE_UP, "device" => device.clone()).set(1.0);
            driver::start(device, engine, ended.clone())
        };
        let devices = engines.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok((Self { devices, known }, ends))
    }

    /// Whether any device works.
    pub fn is_alive(&self) -> bool {
        self.devices.iter().any(Driver::is_alive)
    }

    /// Adds a sequence to one of the devices; its outputs come from the result.
    pub async fn add(&self, tenant: TenantId, job: InferenceJob) -> Result<Sequence, AddError> {
        let chain = route::chain(&tenant, &job.messages);
        while let Some(device) = self.choose(&chain) {
            let place = self.devices[device].place();
            self.known()[device].learn(&chain);
            match self.devices[device].add(place, tenant.clone(), job.clone()).await {
                // It failed at this very moment, and the job was not begun.
                Err(AddError::Stopped) if !self.devices[device].is_alive() => {}
                added => return added,
            }
        }
        Err(AddError::Stopped)
    }

    /// Of the devices that are not much busier than the least loaded one, that which knows most of the prompt.
    fn choose(&self, chain: &[u64]) -> Option<usize> {
        let alive = || self.devices.iter().enumerate().filter(|(_, device)| device.is_alive());
        let least = alive().map(|(_, device)| device.load()).min()?;
        let is_near = |device: &Driver| device.load() <= least + (device.capacity() / DETOUR).max(1);
        let has_room = |device: &Driver| device.load() < device.capacity() || device.load() == least;
        let known = self.known();
        let candidates = alive().filter(|(_, device)| is_near(device) && has_room(device));
        let value = |at: usize, device: &Driver| (known[at].messages(chain), Reverse(device.load()), Reverse(at));
        candidates.max_by_key(|(at, device)| value(*at, device)).map(|(at, _)| at)
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

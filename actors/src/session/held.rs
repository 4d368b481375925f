//! What a running turn holds of the parts that it uses.

use crate::{
    breaker::{Part, Pass, Verdict},
    env::Env,
};
use protocol::{Failure, InferenceJob, TenantId};

/// Given back when it is dropped.
#[derive(Default)]
pub(super) struct Held {
    search: Option<Pass>,
    inference: Option<Pass>,
    has_asked: bool,
}

impl Held {
    /// Whether the turn may search now.
    pub fn search(&mut self, env: &Env, tenant: &TenantId) -> Result<(), Failure> {
        self.search = None;
        self.search = Some(env.breakers.admit(tenant, Part::Retrieval)?);
        Ok(())
    }

    /// Whether the turn may ask the engine now. What has begun may always go on.
    pub fn infer(&mut self, env: &Env, tenant: &TenantId, job: &InferenceJob) -> Result<(), Failure> {
        if !self.has_asked && job.prefix.is_empty() {
            self.inference = Some(env.breakers.admit(tenant, Part::Inference)?);
        }
        self.has_asked = true;
        Ok(())
    }

    /// How a part did.
    pub fn judge(&mut self, part: Part, verdict: Verdict) {
        let pass = match part {
            Part::Retrieval => self.search.take(),
            Part::Inference => self.inference.take(),
        };
        pass.into_iter().for_each(|pass| pass.settle(verdict));
    }
}

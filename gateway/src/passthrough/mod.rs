//! Models that an OpenAI-compatible server answers directly, without broker and session: `[[gateway.upstreams]]`.
//!
//! The tenant is authenticated and admitted as for any turn; then its request goes to the server as it came, and the answer
//! comes back as it is told. Each thread of the gateway has connections of its own, so nothing is handed between threads.

mod answer;
mod config;
mod meter;
mod pool;
mod target;
mod trouble;
mod usage;

pub(crate) use config::problems;
pub use config::{Secret, Upstream};
pub(crate) use target::Target;

use crate::{admission::Reserve, auth::Caller, error::Refusal, server::Gateway};
use actix_web::{HttpRequest, HttpResponse, web::Bytes};
use answer::Answer;
use hyper::header::HeaderValue;
use meter::Meter;
use pool::Pool;
use serde::Deserialize;
use std::{borrow::Cow, rc::Rc, sync::Arc};

/// One thread's way to every configured server.
pub(crate) struct Upstreams(Vec<Rc<Pool>>);

/// A request's way to its server.
pub(crate) struct Passage {
    pool: Rc<Pool>,
    max_tokens: Option<u32>,
}

/// What must be known of a request; the rest is the server's.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

impl Upstreams {
    pub(crate) fn new(targets: &[Arc<Target>]) -> Self {
        Self(targets.iter().cloned().map(Pool::new).collect())
    }

    /// Who answers the request with this body; nobody here if it is not JSON or names another model.
    pub(crate) fn of(&self, body: &[u8]) -> Option<Passage> {
        if self.0.is_empty() {
            return None;
        }
        let asked: Asked<'_> = serde_json::from_slice(body).ok()?;
        let pool = self.0.iter().find(|pool| pool.target.model == asked.model)?.clone();
        Some(Passage { pool, max_tokens: asked.max_completion_tokens.or(asked.max_tokens) })
    }
}

impl Passage {
    /// Sends the request on and the answer back.
    pub(crate) async fn complete(
        self,
        gateway: &Gateway,
        caller: &Caller,
        request: &HttpRequest,
        body: Bytes,
    ) -> Result<HttpResponse, Refusal> {
        let reserve = Reserve::passing(body.len(), self.max_tokens, gateway.registry.config());
        let permit = gateway.admission.turn(caller.tenant(), reserve).await?;
        let mut meter = Meter::new(&self.pool.target.model, permit, reserve);
        let trace =
            request.headers().get("traceparent").and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        match self.pool.ask(body, trace).await {
            Ok((response, lease)) => Answer { response, lease, meter }.relay(gateway.config.keep_alive()).await,
            Err(trouble) => {
                let refusal = trouble.tell(&self.pool.target);
                meter.ended(refusal.status());
                Err(refusal)
            }
        }
    }
}

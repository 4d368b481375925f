//! What operators and their tools read: `/livez`, `/readyz`, `/metrics`, `/openapi.json`.

use crate::admission::Admission;
use actix_web::{HttpResponse, http::header, web};
use runtime::Health;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Renders the process's metrics.
pub(crate) type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What these pages are made of.
pub(crate) struct Ops {
    /// Renders the process's metrics.
    pub(crate) metrics: Metrics,
    /// What the parts say of themselves.
    pub(crate) health: Health,
    /// How quotas are counted, in a gateway.
    pub(crate) limits: Option<Admission>,
}

/// The interface for machines.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

/// The process serves.
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"live": true}))
}

/// Whether every part can do its work, part by part.
pub(crate) async fn ready(ops: web::Data<Ops>) -> HttpResponse {
    let report = ops.health.report();
    let limits = ops.limits.as_ref().map(Admission::trouble);
    let serves = limits.flatten().is_none_or(|(_, serves)| serves);
    let ready = serves && report.values().all(Option::is_none);
    let mut parts: BTreeMap<_, Value> = report
        .into_iter()
        .map(|(part, why)| {
            (part, why.map_or_else(|| json!({"ready": true}), |why| json!({"ready": false, "why": why})))
        })
        .collect();
    if let Some(limits) = limits {
        let told = limits.map_or_else(|| json!({"ready": true}), |(why, ready)| json!({"ready": ready, "why": why}));
        parts.insert("limits", told);
    }
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({"ready": ready, "parts": parts}))
}

/// Prometheus text.
pub(crate) async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body((ops.metrics)())
}

/// The interface for machines.
pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).content_type("application/json").body(OPENAPI)
}

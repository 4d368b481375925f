//! Every request's span, metrics and id.

use crate::server::Gateway;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderName, header::HeaderValue},
    middleware::Next,
    web,
};
use runtime::metric;
use std::time::Instant;
use tracing::{Instrument, field};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps the whole interface. The span covers the request up to the response's head; a turn's own spans are below it.
pub(crate) async fn observe(
    gateway: web::Data<Gateway>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".into());
    let id = format!("req_{}", gateway.context.random.uuid().simple());
    let span =
        tracing::info_span!("admission", method, %route, tenant = field::Empty, status = field::Empty, request = id);
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    runtime::telemetry::continue_from(&span, parent);

    let mut outcome = next.call(request).instrument(span.clone()).await;
    let status = match &outcome {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    span.record("status", status);
    tracing::debug!(parent: &span, "answered");
    let labels = [("route", route.clone()), ("method", method.to_string()), ("status", status.to_string())];
    metrics::counter!(metric::HTTP_REQUESTS, &labels).increment(1);
    metrics::histogram!(metric::HTTP_DURATION, "route" => route).record(started.elapsed().as_secs_f64());
    if let (Ok(response), Ok(id)) = (&mut outcome, HeaderValue::from_str(&id)) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    outcome
}

/// Clients invent methods; a label must not.
fn method_label(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS];
    let names = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    known.iter().zip(names).find(|(candidate, _)| *candidate == method).map_or("OTHER", |(_, name)| name)
}

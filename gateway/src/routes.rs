//! The whole interface.

use crate::{assets, documents, error::Refusal, ingests, knowledge, messages, openai, ops, sessions, socket};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, http::Method, http::header, web};
use protocol::{ErrorCode, Failure};

/// One entry of the interface: method, path, handler.
pub(crate) type Entry = (Method, &'static str, fn() -> Route);

/// What tenants call, with `Authorization: Bearer <key>`.
pub(crate) const API: &[Entry] = &[
    (Method::POST, "/v1/chat/completions", || web::to(openai::complete)),
    (Method::GET, "/v1/models", || web::to(openai::models)),
    (Method::GET, "/v1/models/{model:.+}", || web::to(openai::model)),
    (Method::POST, "/v1/sessions", || web::to(sessions::create)),
    (Method::GET, "/v1/sessions/{id}", || web::to(sessions::view)),
    (Method::DELETE, "/v1/sessions/{id}", || web::to(sessions::delete)),
    (Method::POST, "/v1/sessions/{id}/messages", || web::to(messages::submit)),
    (Method::GET, "/v1/sessions/{id}/turns/{turn}/events", || web::to(messages::events)),
    (Method::POST, "/v1/sessions/{id}/stop", || web::to(messages::stop)),
    (Method::GET, "/v1/sessions/{id}/ws", || web::to(socket::open)),
    (Method::POST, "/v1/documents", || web::to(documents::put)),
    (Method::GET, "/v1/documents", || web::to(documents::list)),
    (Method::DELETE, "/v1/documents/{id}", || web::to(documents::delete)),
    (Method::POST, "/v1/ingests", || web::to(ingests::begin)),
    (Method::GET, "/v1/ingests/{id}", || web::to(ingests::view)),
    (Method::DELETE, "/v1/ingests/{id}", || web::to(ingests::abort)),
    (Method::PUT, "/v1/ingests/{id}/documents", || web::to(ingests::put)),
    (Method::POST, "/v1/ingests/{id}/publish", || web::to(ingests::publish)),
    (Method::GET, "/v1/knowledge/versions", || web::to(knowledge::versions)),
    (Method::POST, "/v1/knowledge/rollback", || web::to(knowledge::rollback)),
    (Method::POST, "/v1/knowledge/rebuild", || web::to(knowledge::rebuild)),
    (Method::GET, "/v1/knowledge/unanswered", || web::to(knowledge::unanswered)),
    (Method::DELETE, "/v1/knowledge/unanswered", || web::to(knowledge::dismiss)),
];

/// What operators and their tools read, without a key.
pub(crate) const OPS: &[Entry] = &[
    (Method::GET, "/livez", || web::to(ops::live)),
    (Method::GET, "/readyz", || web::to(ops::ready)),
    (Method::GET, "/metrics", || web::to(ops::metrics)),
];

/// The interface, described.
pub(crate) const DESCRIPTION: &[Entry] = &[(Method::GET, "/openapi.json", || web::to(ops::openapi))];

/// Every route and the chat page.
pub(crate) fn all(app: &mut web::ServiceConfig) {
    [API, OPS, DESCRIPTION].into_iter().for_each(|entries| register(app, entries));
    app.app_data(web::QueryConfig::default().error_handler(|error, _| {
        Refusal::from(Failure::new(ErrorCode::InvalidRequest, format!("the query cannot be read: {error}"))).into()
    }));
    assets::register(app);
}

/// Only what operators read.
pub(crate) fn ops(app: &mut web::ServiceConfig) {
    register(app, OPS);
}

fn register(app: &mut web::ServiceConfig, entries: &[Entry]) {
    let mut paths: Vec<_> = entries.iter().map(|(_, path, _)| *path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let mut resource = web::resource(path);
        let mut allowed = Vec::new();
        for (method, _, route) in entries.iter().filter(|entry| entry.1 == path) {
            resource = resource.route(route().method(method.clone()));
            allowed.push(method.as_str());
            // The server leaves the body out by itself.
            if method == Method::GET {
                resource = resource.route(route().method(Method::HEAD));
                allowed.push("HEAD");
            }
        }
        let allowed = allowed.join(", ");
        app.service(resource.default_service(web::to(move || wrong_method(allowed.clone()))));
    }
}

/// The answer to a path that does not exist.
pub(crate) async fn not_found(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let path: String = request.path().chars().take(200).collect();
    Err(Failure::new(ErrorCode::NotFound, format!("there is no {path}; /openapi.json lists every path")).into())
}

/// The answer to a method that a path does not have.
pub(crate) async fn wrong_method(allowed: String) -> HttpResponse {
    let failure = Failure::new(ErrorCode::MethodNotAllowed, format!("this path accepts {allowed}"));
    let mut response = Refusal::from(failure).error_response();
    if let Ok(allowed) = header::HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let described: Value = serde_json::from_str(ops::OPENAPI).unwrap();
        let described: BTreeSet<_> = described["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |key| (key.clone(), path.clone())))
            .filter(|(key, _)| !["parameters", "summary", "description"].contains(&key.as_str()))
            .collect();
        let routed: BTreeSet<_> = [API, OPS, DESCRIPTION]
            .into_iter()
            .flatten()
            // A name of a model may hold slashes.
            .map(|(method, path, _)| (method.as_str().to_lowercase(), path.replace(":.+}", "}")))
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        let text = ops::OPENAPI;
        let description: Value = serde_json::from_str(text).unwrap();
        let references: Vec<_> = text.split("\"$ref\"").skip(1).map(|rest| rest.split('"').nth(1).unwrap()).collect();
        assert!(references.len() > 20);
        for reference in references {
            assert!(description.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }
}

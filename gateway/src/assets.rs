//! The chat page: plain files, compiled in.

use crate::routes;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web,
};
use sha2::{Digest, Sha256};

/// Everything comes from here and nothing may be put in by a text: no inline code, no foreign origin, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

macro_rules! asset {
    ($path:expr, $file:literal, $type:ident) => {
        Asset { path: $path, content_type: $type, body: include_bytes!(concat!("../web/", $file)) }
    };
    ($file:literal, $type:ident) => {
        asset!(concat!("/assets/", $file), $file, $type)
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const ASSETS: &[Asset] = &[
    asset!("/", "index.html", HTML),
    asset!("api.js", JS),
    asset!("app.js", JS),
    asset!("badge.js", JS),
    asset!("chat-log.js", JS),
    asset!("chat-message.js", JS),
    asset!("chat.css", CSS),
    asset!("citation-panel.js", JS),
    asset!("composer.css", CSS),
    asset!("composer.js", JS),
    asset!("conversation.js", JS),
    asset!("dialogs.css", CSS),
    asset!("dom.js", JS),
    asset!("i18n.js", JS),
    asset!("icon.svg", SVG),
    asset!("icons.svg", SVG),
    asset!("key.js", JS),
    asset!("markdown-dom.js", JS),
    asset!("markdown.js", JS),
    asset!("messages.js", JS),
    asset!("settings-dialog.js", JS),
    asset!("sources.js", JS),
    asset!("sse.js", JS),
    asset!("storage.js", JS),
    asset!("style.css", CSS),
    asset!("theme-toggle.js", JS),
    asset!("theme.js", JS),
    asset!("turn.js", JS),
];

/// Adds a route per file.
pub(crate) fn register(app: &mut web::ServiceConfig) {
    for asset in ASSETS {
        let tag = format!("\"{}\"", hex(&Sha256::digest(asset.body)[..16]));
        let get = |tag: String| web::to(move |request: HttpRequest| serve(request, asset, tag.clone()));
        let (head, get) = (get(tag.clone()).method(Method::HEAD), get(tag).method(Method::GET));
        let only_get = web::to(|| routes::wrong_method("GET, HEAD".into()));
        app.service(web::resource(asset.path).route(get).route(head).default_service(only_get));
    }
}

async fn serve(request: HttpRequest, asset: &'static Asset, tag: String) -> HttpResponse {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"));
    if unchanged { response.finish() } else { response.content_type(asset.content_type).body(asset.body) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let served = |name: &str| ["html", "css", "js", "svg"].iter().any(|kind| name.ends_with(&format!(".{kind}")));
        let files: BTreeSet<_> = files
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| served(name))
            .map(|name| if name == "index.html" { "/".into() } else { format!("/assets/{name}") })
            .collect();
        assert_eq!(files, ASSETS.iter().map(|asset| asset.path.to_string()).collect());
    }
}

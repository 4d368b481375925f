//! A server that requests are sent on to, as all threads share it.

use super::config::Upstream;
use hyper::{Uri, header::HeaderValue};
use rustls_platform_verifier::ConfigVerifierExt;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto, pki_types::ServerName},
};

/// One entry of `[[gateway.upstreams]]`, ready for use.
pub(crate) struct Target {
    pub(super) model: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) path: Uri,
    pub(super) host_header: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) connect_timeout: Duration,
    pub(super) silence: Duration,
    max_requests: usize,
    requests: AtomicUsize,
}

impl Target {
    /// Fails on what [`super::problems`] would have told, and when the system's certificates cannot be read.
    pub(crate) fn new(upstream: &Upstream) -> io::Result<Arc<Self>> {
        let wrong = |why: &str| io::Error::other(format!("gateway.upstreams: {}: expected {why}", upstream.model));
        let base = upstream.base().map_err(wrong)?;
        let secure = base.scheme_str() == Some("https");
        let host = base.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let path = format!("{}/chat/completions", base.path().trim_end_matches('/'));
        let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
        Ok(Arc::new(Self {
            model: upstream.model.clone(),
            port: base.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            tls: if secure { Some(tls(&host)?) } else { None },
            host,
            path: path.parse().map_err(|_| wrong("a URL with a plain path"))?,
            host_header: HeaderValue::from_str(authority).map_err(|_| wrong("a URL with a plain host"))?,
            authorization: upstream.authorization().map_err(wrong)?,
            connect_timeout: Duration::from_millis(upstream.connect_timeout_ms),
            silence: Duration::from_millis(upstream.silence_ms),
            max_requests: upstream.max_requests,
            requests: AtomicUsize::new(0),
        }))
    }

    /// Room for one more request; `None`: there are as many as the server may get.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let seat = Seat(self.clone());
        // Dropped again when there was no room.
        (self.requests.fetch_add(1, Ordering::Relaxed) < self.max_requests).then_some(seat)
    }
}

fn tls(host: &str) -> io::Result<(TlsConnector, ServerName<'static>)> {
    // A second installation is no error.
    let _ = crypto::ring::default_provider().install_default();
    let mut config = ClientConfig::with_platform_verifier().map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// One request's place at the server.
pub(super) struct Seat(Arc<Target>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_given_back() {
        let entry = serde_json::json!({"model": "m", "url": "http://host:9/v1/", "max_requests": 2});
        let target = Target::new(&serde_json::from_value(entry).unwrap()).unwrap();
        assert_eq!((target.path.path(), target.port), ("/v1/chat/completions", 9));
        let (first, _second) = (target.seat().unwrap(), target.seat().unwrap());
        assert!(target.seat().is_none() && target.seat().is_none());
        drop(first);
        assert!(target.seat().is_some());
    }
}

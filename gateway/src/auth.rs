//! Whose request is it: a bearer key becomes a tenant before anything else is read.

use crate::{Tenant, admission, error::Refusal, server::Gateway};
use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Uri, header},
    web,
};
use protocol::{ErrorCode, Failure, TenantId};
use std::{net::IpAddr, pin::Pin, sync::Arc};

/// The tenant whose key a request carries; its extraction counts the request against the tenant's quota.
pub(crate) struct Caller(Arc<Tenant>);

impl Caller {
    /// Whose request it is.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.0.id
    }

    /// A failure of what this caller asked for.
    pub(crate) fn refused(&self, failure: Failure) -> Refusal {
        admission::behind(self.tenant(), failure)
    }

    /// The caller who presents `key`, or why there is none.
    pub(crate) async fn identify(request: &HttpRequest, key: Option<&str>) -> Result<Self, Refusal> {
        let gateway = gateway(request)?;
        let key = key.ok_or_else(|| refused("no key: send the header 'Authorization: Bearer <key>'"))?;
        let tenant = gateway.tenants.by_key(key).ok_or_else(|| refused("the key is not known"))?;
        if tenant.loopback_only && !is_local(request) {
            return Err(refused("this key is accepted from this machine only, directly on its loopback address"));
        }
        tracing::Span::current().record("tenant", tenant.id.as_str());
        gateway.admission.request(&tenant.id).await?;
        Ok(Self(tenant.clone()))
    }
}

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::identify(&request, bearer(&request)).await })
    }
}

/// The key in the `Authorization` header; the scheme's case does not matter (RFC 9110 §11.1).
pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn gateway(request: &HttpRequest) -> Result<&web::Data<Gateway>, Refusal> {
    request.app_data().ok_or_else(|| crate::error::internal("a route without its state").into())
}

fn refused(message: &str) -> Refusal {
    Failure::new(ErrorCode::InvalidApiKey, message).into()
}

/// Whether the request comes from this machine itself. A proxy's request comes from elsewhere, whatever its address, and a
/// foreign `Host` is a web page whose name was pointed at this machine.
fn is_local(request: &HttpRequest) -> bool {
    let peer = request.peer_addr().is_some_and(|peer| is_loopback(peer.ip()));
    let forwarded =
        ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| request.headers().contains_key(*name));
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    peer && !forwarded && host.is_none_or(is_local_name)
}

fn is_local_name(authority: &str) -> bool {
    let host =
        authority.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(is_loopback)
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_key_is_what_follows_the_scheme() {
        for (value, key) in [("Bearer k", Some("k")), ("bearer  k ", Some("k")), ("Basic k", None), ("k", None)] {
            let request = TestRequest::default().insert_header(("authorization", value)).to_http_request();
            assert_eq!(bearer(&request), key, "{value}");
        }
    }

    #[test]
    fn only_a_direct_request_to_a_loopback_name_is_local() {
        let local = |peer: &str, name: &'static str, value: &'static str| {
            let address = format!("{peer}:9").parse().unwrap_or_else(|_| unreachable!("{peer}"));
            is_local(&TestRequest::default().peer_addr(address).insert_header((name, value)).to_http_request())
        };
        assert!(local("127.0.0.1", "host", "127.0.0.1:8080") && local("127.0.0.1", "host", "LOCALHOST:8080"));
        assert!(local("[::1]", "host", "[::1]:8080") && local("[::ffff:127.0.0.1]", "host", "localhost"));
        assert!(!local("192.0.2.7", "host", "localhost"));
        assert!(!local("127.0.0.1", "host", "rebound.example:8080"));
        assert!(!local("127.0.0.1", "x-forwarded-for", "192.0.2.7"));
    }
}

//! A running gateway and all that it needs.

use crate::worker;
use actors::store::SessionStore;
use bytes::Bytes;
use gateway::{Config, KeyHash, Tenant, Tenants};
use protocol::{Cancel, NodeId, topology};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use runtime::{Context, Health, clock::System};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// No wait in a test takes longer.
pub const SOON: Duration = Duration::from_secs(20);

/// The tenant `a` with the key `key-a`, `b` with `key-b`, and `local` with `key-local` for this machine only.
pub struct Stage {
    pub address: SocketAddr,
    pub client: Client,
    pub health: Health,
    pub stop: CancellationToken,
    pub server: Option<JoinHandle<std::io::Result<()>>>,
    pub registry: actors::Registry,
    pub archive: Arc<dyn catalog::Archive>,
    cancels: mpsc::Receiver<Bytes>,
    _folder: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stage {
    pub async fn start() -> Self {
        Self::with(json!({}), json!({})).await
    }

    /// With changed keys of `[gateway]` and changed limits of the tenant `a`.
    pub async fn with(patch: Value, limits: Value) -> Self {
        let session = actors::Config { abandon_grace_ms: 100, ..actors::Config::default() };
        Self::with_session(patch, limits, session).await
    }

    /// And another section `[session]`.
    pub async fn with_session(patch: Value, limits: Value, session: actors::Config) -> Self {
        let context = context().await;
        worker::start(&context).await;
        let clock = context.clock.clone();
        let store = actors::store::connect(&session, clock, SOON).await.unwrap();
        Self::node("node-test", patch, limits, session, store, context).await
    }

    /// The nodes `node-one` and `node-two` on one broker and one store, each with limits of its own.
    pub async fn two(session: actors::Config, limits: Value) -> ([Self; 2], Arc<dyn SessionStore>) {
        let (one, two) = (context().await, context().await);
        let two = Context { broker: one.broker.clone(), ..two };
        worker::start(&one).await;
        let store = actors::store::connect(&session, one.clock.clone(), SOON).await.unwrap();
        let node = |name, context| Self::node(name, json!({}), limits.clone(), session.clone(), store.clone(), context);
        ([node("node-one", one).await, node("node-two", two).await], store)
    }

    async fn node(
        name: &str,
        patch: Value,
        limits: Value,
        session: actors::Config,
        store: Arc<dyn SessionStore>,
        context: Context,
    ) -> Self {
        let mut config =
            json!({"listen": "127.0.0.1:0", "model": "tiny", "keep_alive_ms": 100, "read_timeout_ms": 2_000});
        config.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cancels = context.broker.subscribe(topology::CANCEL).await.unwrap();
        let node = NodeId::parse(name).unwrap();
        let profiles = actors::Profiles::default();
        let registry = actors::start_with(store, session, profiles, node, context.clone()).await.unwrap();
        let (stop, health) = (context.stop.clone(), context.health.clone());
        let folder = tempfile::tempdir().unwrap();
        let archive = catalog::connect_archive("file:", folder.path()).unwrap();
        let serve =
            gateway::run(config, listener, registry.clone(), tenants(limits), metrics(), archive.clone(), context);
        let server = Some(tokio::spawn(serve));
        Self { address, client: client(), health, stop, server, registry, cancels, archive, _folder: folder }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request of the tenant `a`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth("key-a").timeout(SOON)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// A new session of the tenant `a`.
    pub async fn session(&self) -> String {
        let response = self.request(Method::POST, "/v1/sessions").send().await.unwrap();
        let body: Value = response.json().await.unwrap();
        body["id"].as_str().unwrap_or_else(|| panic!("{body}")).to_string()
    }

    /// Waits until workers are told to stop a job of the turn `job`.
    pub async fn cancelled(&mut self, job: &str) {
        let told = async {
            loop {
                let cancel: Cancel = serde_json::from_slice(&self.cancels.recv().await.unwrap()).unwrap();
                if cancel.job.as_str().starts_with(job) {
                    return;
                }
            }
        };
        timeout(SOON, told).await.unwrap_or_else(|_| panic!("nobody cancelled {job}"));
    }

    /// Whether workers were told to stop anything since.
    pub fn has_cancelled(&mut self) -> bool {
        self.cancels.try_recv().is_ok()
    }
}

/// Asserts that `response` is an error object with these words, and returns its message.
pub async fn refused(response: Response, status: u16, code: &str, param: Option<&str>) -> String {
    let (found, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{found} {text:?}"));
    assert_eq!(found, StatusCode::from_u16(status).unwrap(), "{body}");
    assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&json!(code), &json!(param)), "{body}");
    assert!(body["error"]["type"].is_string() && headers["content-type"] == "application/json", "{body}");
    assert!(headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    body["error"]["message"].as_str().unwrap().to_string()
}

pub async fn context() -> Context {
    let broker = runtime::broker::connect("memory:", SOON).await.unwrap();
    let (clock, random) = (Arc::new(System), Arc::new(System));
    Context { broker, clock, random, health: Health::default(), stop: CancellationToken::new() }
}

pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

pub fn metrics() -> impl Fn() -> String + Clone + Send + Sync + 'static {
    static HANDLE: OnceLock<Box<dyn Fn() -> String + Send + Sync>> = OnceLock::new();
    let render = HANDLE.get_or_init(|| {
        let handle = runtime::metric::install().unwrap();
        Box::new(move || handle.render())
    });
    move || render()
}

fn tenants(limits: Value) -> Tenants {
    let tenant = |id: &str, patch: Value| -> Tenant {
        let mut tenant = json!({"id": id, "key_hashes": [KeyHash::of(&format!("key-{id}"))]});
        tenant.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        serde_json::from_value(tenant).unwrap()
    };
    let local = tenant("local", json!({"loopback_only": true}));
    Tenants::new([tenant("a", json!({"limits": limits})), tenant("b", json!({})), local])
}

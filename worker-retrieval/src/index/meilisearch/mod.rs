//! The index on a Meilisearch server, which workers share.
//!
//! Each space is one index of the server. A row carries its tenant, the version that added it and the one that removed it,
//! and every read and write goes through a [`filter::TenantFilter`]; searches go out with a key that the server itself holds
//! to the tenant's rows. The server does its tasks in the order in which they came, so that a marker, written last, says
//! that a version is whole.

mod build;
mod filter;
mod http;
mod keywords;
mod rows;
mod search;
mod space;
mod token;

use super::{Found, IndexError, Limits, NewDocument, Query, SearchIndex, Vectors};
use build::Build;
use http::Http;
use protocol::{DocumentId, KnowledgeVersion, TenantId};
use space::Space;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{runtime::Runtime, sync::OnceCell};

/// How long a search waits for a busy server.
const SEARCH: Duration = Duration::from_secs(2);
/// How long a change waits for a busy server, or for one that comes back.
const CHANGE: Duration = Duration::from_secs(30);

/// An index on a search server.
pub struct MeilisearchIndex {
    host: String,
    key: Option<String>,
    vectors: Vectors,
    limits: Limits,
    http: Http,
    space: OnceCell<Space>,
    builds: Mutex<HashMap<TenantId, Build>>,
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
}

impl MeilisearchIndex {
    /// The space of `vectors` on the server at `url`; `key` is its master key, or one that may do all but manage the server.
    /// The server is asked when something is asked of it: it may be down now.
    pub fn open(url: &str, key: Option<&str>, vectors: Vectors, limits: Limits) -> Result<Self, IndexError> {
        let parsed = reqwest::Url::parse(url).ok().filter(reqwest::Url::has_host);
        let host = parsed.ok_or_else(|| IndexError::Unknown(url.into()))?.as_str().trim_end_matches('/').to_owned();
        let unusable = |reason: String| IndexError::Unavailable { place: url.into(), reason };
        let http = Http::new(key, SEARCH).map_err(|error| unusable(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Some(runtime.map_err(|error| unusable(error.to_string()))?);
        let key = key.map(str::to_owned);
        let (space, builds) = (OnceCell::new(), Mutex::default());
        Ok(Self { host, key, vectors, limits, http, space, builds, runtime })
    }

    /// The key with which searches of `tenant` go out; `None`: the server asks for no keys.
    pub fn token(&self, tenant: &TenantId) -> Result<Option<String>, IndexError> {
        self.block(async { self.space().await?.token(tenant) })
    }

    async fn space(&self) -> Result<&Space, IndexError> {
        let http = || self.http.insisting(CHANGE);
        // A search does not wait for a server that is down.
        self.healthy().await?;
        self.space
            .get_or_try_init(async || Space::open(&self.host, &http(), self.key.as_deref(), &self.vectors).await)
            .await
    }

    async fn healthy(&self) -> Result<(), IndexError> {
        if self.space.initialized() {
            return Ok(());
        }
        self.asks().health().await.map(|_| ()).map_err(|error| space::failed(&self.host, error))
    }

    /// A client that gives up soon.
    fn asks(&self) -> meilisearch_sdk::client::Client<Http> {
        meilisearch_sdk::client::Client::new_with_client(&self.host, self.key.as_deref(), self.http.clone())
    }

    fn block<T>(&self, work: impl Future<Output = Result<T, IndexError>>) -> Result<T, IndexError> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(IndexError::Unavailable { place: self.host.clone(), reason: "it is closed".into() }),
        }
    }

    /// The build of `tenant`, out of the shelf for the time of a change.
    fn take(&self, tenant: &TenantId) -> Option<Build> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant)
    }

    fn keep(&self, tenant: &TenantId, build: Build) {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), build);
    }

    /// Changes `version`, which is opened before its first change. After a failure it can only be undone.
    fn change(
        &self,
        tenant: &TenantId,
        version: KnowledgeVersion,
        work: impl AsyncFnOnce(&Space, &mut Build) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        self.block(async {
            let space = self.space().await?;
            let mut build = match self.take(tenant) {
                Some(build) => build,
                None => Build::begin(space, tenant, version).await?,
            };
            let result = match build.admits(version) {
                Ok(()) => work(space, &mut build).await.inspect_err(|_| build.fail()),
                refused => refused,
            };
            self.keep(tenant, build);
            result
        })
    }
}

impl Drop for MeilisearchIndex {
    fn drop(&mut self) {
        // It may be dropped by asynchronous code, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl SearchIndex for MeilisearchIndex {
    fn holds(&self, tenant: &TenantId) -> Result<KnowledgeVersion, IndexError> {
        self.block(async {
            let marker = build::marker(self.space().await?, tenant).await?;
            Ok(KnowledgeVersion(marker.holds))
        })
    }

    fn undo(&self, tenant: &TenantId, base: KnowledgeVersion) -> Result<(), IndexError> {
        self.take(tenant);
        self.block(async { build::undo(self.space().await?, tenant, base).await })
    }

    fn add(&self, tenant: &TenantId, version: KnowledgeVersion, documents: Vec<NewDocument>) -> Result<(), IndexError> {
        let most = self.limits.tenant_passages;
        let dimensions = self.vectors.dimensions;
        self.change(tenant, version, async |space, build| build.add(space, &documents, most, dimensions).await)
    }

    fn remove(&self, tenant: &TenantId, version: KnowledgeVersion, documents: &[DocumentId]) -> Result<(), IndexError> {
        self.change(tenant, version, async |space, build| build.remove(space, documents).await)
    }

    fn seal(&self, tenant: &TenantId, version: KnowledgeVersion) -> Result<(), IndexError> {
        let open = self.builds.lock().unwrap_or_else(PoisonError::into_inner).contains_key(tenant);
        if !open && self.holds(tenant)? == version {
            return Ok(());
        }
        self.change(tenant, version, async |space, build| build.seal(space).await)?;
        self.take(tenant);
        Ok(())
    }

    fn search(&self, tenant: &TenantId, version: KnowledgeVersion, query: Query<'_>) -> Result<Found, IndexError> {
        self.block(async { search::search(self.space().await?, &self.http, tenant, version, query).await })
    }

    fn prune(&self, tenant: &TenantId, oldest: KnowledgeVersion) -> Result<(), IndexError> {
        self.block(async { build::prune(self.space().await?, tenant, oldest).await })
    }

    fn clear(&self, tenant: &TenantId) -> Result<(), IndexError> {
        self.take(tenant);
        self.block(async { build::clear(self.space().await?, tenant).await })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), IndexError> {
        self.block(async { self.asks().health().await.map(|_| ()).map_err(|error| space::failed(&self.host, error)) })
    }
}

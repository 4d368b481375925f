//! Where a bucket is, and who may use it.

use crate::ArchiveError;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
    prefix::PrefixStore,
};
use std::time::Duration;

/// A request's answer must have begun by then.
const CONNECT: Duration = Duration::from_secs(5);
/// For one request, and one object may be large.
const REQUEST: Duration = Duration::from_secs(120);
/// For repeats of one request.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to reach a bucket; what is absent is taken from `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY`, or from what else AWS gives its own machines.
#[derive(Clone, Default)]
pub struct Bucket {
    /// `http://…` or `https://…` of an S3 server other than Amazon's. What is sent to `http:` can be read on its way.
    pub endpoint: Option<String>,
    /// The region; servers other than Amazon's mostly ignore it.
    pub region: Option<String>,
    /// The name of the key.
    pub access_key: Option<String>,
    /// The key's secret.
    pub secret_key: Option<String>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, region, access_key, .. } = self;
        write!(f, "Bucket {{ endpoint: {endpoint:?}, region: {region:?}, access_key: {access_key:?}, .. }}")
    }
}

impl Bucket {
    /// The part of the bucket `name` below `prefix`.
    pub(crate) fn open(&self, name: &str, prefix: &str) -> Result<impl ObjectStore, ArchiveError> {
        // Fails when the process has one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let given = [
            (AmazonS3ConfigKey::Endpoint, &self.endpoint),
            (AmazonS3ConfigKey::Region, &self.region),
            (AmazonS3ConfigKey::AccessKeyId, &self.access_key),
            (AmazonS3ConfigKey::SecretAccessKey, &self.secret_key),
        ];
        let builder = given.into_iter().fold(AmazonS3Builder::from_env(), |builder, (key, value)| match value {
            Some(value) => builder.with_config(key, value),
            None => builder,
        });
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http:"));
        let client = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST).with_allow_http(plain);
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 4, retry_timeout: PATIENCE };
        let store = builder.with_bucket_name(name).with_client_options(client).with_retry(retry).build();
        let store = store.map_err(|error| ArchiveError::Unavailable(format!("archive.url: {error}")))?;
        Ok(PrefixStore::new(store, Path::from(prefix)))
    }
}

//! Where a bucket is, and who may use it.

use crate::ArchiveError;
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
    prefix::PrefixStore,
};
use std::time::Duration;

/// For a connection.
const CONNECT: &str = "5s";
/// For one request, and one object may be large.
const REQUEST: &str = "120s";
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
        // The endpoint's second name is the one that wins.
        let given = [
            (AmazonS3ConfigKey::S3Endpoint, &self.endpoint),
            (AmazonS3ConfigKey::Region, &self.region),
            (AmazonS3ConfigKey::AccessKeyId, &self.access_key),
            (AmazonS3ConfigKey::SecretAccessKey, &self.secret_key),
        ];
        let mut builder = AmazonS3Builder::from_env();
        for (key, value) in given.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))) {
            builder = builder.with_config(key, value);
        }
        let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let endpoint = endpoints.iter().find_map(|key| builder.get_config_value(key));
        let mut client = vec![(ClientConfigKey::ConnectTimeout, CONNECT), (ClientConfigKey::Timeout, REQUEST)];
        if endpoint.is_some_and(|endpoint| endpoint.starts_with("http:")) {
            client.push((ClientConfigKey::AllowHttp, "true"));
        }
        for (key, value) in client {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 4, retry_timeout: PATIENCE };
        let store = builder.with_bucket_name(name).with_retry(retry).build();
        let store = store.map_err(|error| ArchiveError::Unavailable(format!("archive.url: {error}")))?;
        Ok(PrefixStore::new(store, Path::from(prefix)))
    }
}

//! Tenant tokens: keys that open one tenant's rows to searches, for a while.

use super::{filter::TenantFilter, http::Http};
use meilisearch_sdk::{
    errors::{Error, ErrorCode},
    indexes::Index,
    key::{Action, KeyBuilder},
};
use protocol::TenantId;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;

/// How long a token opens.
const LIFE: Duration = Duration::from_secs(3600);
/// How long it is used: clocks differ.
const USE: Duration = Duration::from_secs(1800);
/// Tokens that are kept.
const MOST: usize = 10_000;

/// Makes tokens from a key that can only search one index.
pub struct Tokens {
    /// Its id on the server.
    uid: String,
    key: String,
    index: String,
    made: Mutex<HashMap<TenantId, (String, Instant)>>,
}

impl Tokens {
    /// Finds the search key of `index`, or makes it.
    pub async fn find(index: &Index<Http>) -> Result<Self, Error> {
        let uid = uuid(&index.uid);
        let key = match index.client.get_key(&uid).await {
            Err(Error::Meilisearch(error)) if error.error_code == ErrorCode::ApiKeyNotFound => {
                make(index, &uid).await?
            }
            found => found?,
        };
        Ok(Self { uid, key: key.key, index: index.uid.clone(), made: Mutex::default() })
    }

    /// A token for searches of `tenant`.
    pub fn of(&self, tenant: &TenantId, index: &Index<Http>) -> Result<String, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, _)) = made.get(tenant).filter(|(_, when)| when.elapsed() < USE) {
            return Ok(token.clone());
        }
        let rules = json!({ &self.index: { "filter": TenantFilter::from(tenant).as_str() } });
        let expires = OffsetDateTime::now_utc() + LIFE;
        let token = index.client.generate_tenant_token(self.uid.clone(), rules, Some(&self.key), Some(expires))?;
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(tenant.clone(), (token.clone(), Instant::now()));
        Ok(token)
    }
}

async fn make(index: &Index<Http>, uid: &str) -> Result<meilisearch_sdk::key::Key, Error> {
    let mut wanted = KeyBuilder::new();
    wanted.with_uid(uid).with_action(Action::Search).with_index(&index.uid).with_name("frontdesk: searches");
    wanted.with_description("Tenant tokens are made from it.");
    match index.client.create_key(&wanted).await {
        // Another worker may have been quicker.
        Err(error @ Error::Meilisearch(_)) => index.client.get_key(uid).await.map_err(|_| error),
        made => made,
    }
}

/// A UUID that is always the same for an index, in the form of a random one: the server takes no other.
fn uuid(index: &str) -> String {
    let hash = Sha256::digest(format!("search key of {index}"));
    let mut hex: Vec<char> =
        hash.iter().take(16).flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>()).collect();
    (hex[12], hex[16]) = ('4', 'a');
    let hex: String = hex.into_iter().collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

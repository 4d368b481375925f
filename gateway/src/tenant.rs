//! Tenants, their keys and their limits, from configuration.

use protocol::TenantId;
use runtime::config::Problem;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// SHA-256 of a key; the key itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of `key`.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl TryFrom<String> for KeyHash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> =
            text.as_bytes().chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "a key hash is 64 hexadecimal digits: printf %s \"$KEY\" | sha256sum".into())
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> String {
        hash.to_string()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What can still be counted exactly.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// What a tenant may use at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests and WebSocket messages per minute; also how many may come at once after a pause.
    pub requests_per_minute: u32,
    /// Turns and document requests that run at once.
    pub concurrent_turns: u32,
    /// Tokens of prompts and answers per minute; also how many may be used at once after a pause. 0: not limited.
    pub tokens_per_minute: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_minute: 6_000, concurrent_turns: 256, tokens_per_minute: 0 }
    }
}

/// One entry of `[[tenants]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// SHA-256 of each of its keys, in hexadecimal.
    pub key_hashes: Vec<KeyHash>,
    /// Whether its keys are accepted from this machine only.
    #[serde(default)]
    pub loopback_only: bool,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// The tenants by key.
#[derive(Debug, Clone, Default)]
pub struct Tenants {
    by_key: HashMap<KeyHash, Arc<Tenant>>,
    all: Vec<Arc<Tenant>>,
}

impl Tenants {
    /// Indexes `tenants`, which [`Tenants::problems`] has found sound; of two owners of one key the first keeps it.
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Self {
        let all: Vec<_> = tenants.into_iter().map(Arc::new).collect();
        let mut by_key = HashMap::new();
        for tenant in &all {
            for hash in &tenant.key_hashes {
                by_key.entry(*hash).or_insert_with(|| tenant.clone());
            }
        }
        Self { by_key, all }
    }

    /// What is wrong with `tenants`: an id or a key that occurs twice, a tenant without keys, a limit of 0.
    pub fn problems(tenants: &[Tenant]) -> Vec<Problem> {
        problems(tenants)
    }

    /// Whose `key` it is.
    pub fn by_key(&self, key: &str) -> Option<&Arc<Tenant>> {
        self.by_key.get(&KeyHash::of(key))
    }

    /// Every tenant.
    pub fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.all.iter().map(Arc::as_ref)
    }
}

fn problems(tenants: &[Tenant]) -> Vec<Problem> {
    let (mut ids, mut hashes, mut problems) = (HashSet::new(), HashSet::new(), Vec::new());
    for (position, tenant) in tenants.iter().enumerate() {
        let mut wrong = |key: &str, value: String, expected: &str| {
            problems.push(Problem::new(&format!("tenants.{position}.{key}"), value, expected));
        };
        if !ids.insert(&tenant.id) {
            wrong("id", tenant.id.to_string(), "an id that no other tenant has");
        }
        if tenant.key_hashes.is_empty() {
            wrong("key_hashes", "[]".into(), "at least one SHA-256 of a key");
        }
        for hash in tenant.key_hashes.iter().filter(|hash| !hashes.insert(**hash)) {
            wrong("key_hashes", hash.to_string(), "a key that no other tenant has");
        }
        if tenant.limits.requests_per_minute == 0 {
            wrong("limits.requests_per_minute", "0".into(), "at least 1");
        }
        if tenant.limits.concurrent_turns == 0 {
            wrong("limits.concurrent_turns", "0".into(), "at least 1");
        }
        if tenant.limits.tokens_per_minute > TOKENS_MAX {
            let shown = tenant.limits.tokens_per_minute.to_string();
            wrong("limits.tokens_per_minute", shown, "at most 1000000000000, or 0 for no limit");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(id: &str, key: &str) -> Tenant {
        serde_json::from_value(json!({"id": id, "key_hashes": [KeyHash::of(key)]})).unwrap()
    }

    #[test]
    fn a_key_finds_its_tenant_and_no_other() {
        let tenants = Tenants::new([tenant("a", "key-a"), tenant("b", "key-b")]);
        assert_eq!(tenants.by_key("key-b").unwrap().id.as_str(), "b");
        assert!(tenants.by_key("key-c").is_none() && tenants.by_key("").is_none());
    }

    #[test]
    fn a_hash_is_what_sha256sum_prints() {
        let text = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(KeyHash::try_from(text.to_string()).unwrap(), KeyHash::of("foo"));
        for bad in ["", "2c", &text[1..], &format!("{text}0"), &text.replace('2', "g"), &"é".repeat(32)] {
            assert!(KeyHash::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }

    #[test]
    fn shared_ids_and_keys_and_useless_limits_are_named() {
        let mut third = tenant("c", "key-c");
        third.key_hashes.clear();
        third.limits = Limits { requests_per_minute: 0, concurrent_turns: 0, tokens_per_minute: TOKENS_MAX + 1 };
        let problems = Tenants::problems(&[tenant("a", "key"), tenant("a", "key"), third]);
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        let limits = ["requests_per_minute", "concurrent_turns", "tokens_per_minute"];
        assert_eq!(keys[..3], ["tenants.1.id", "tenants.1.key_hashes", "tenants.2.key_hashes"]);
        assert_eq!(keys[3..], limits.map(|limit| format!("tenants.2.limits.{limit}")));
    }
}

//! Stateless calls: who answered a request that another one goes on from.

use crate::state::Served;
use protocol::{ChatMessage, TenantId};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Requests that are remembered; when there are more, the older half goes.
const REMEMBERED: usize = 16 * 1024;

/// Requests by the hash of their tenant and messages. Two that share a hash cost a detour, no more.
#[derive(Default)]
pub(super) struct Requests(HashMap<u64, Served>);

impl Requests {
    /// Who answered the longest request that `messages` go on from. The same request again is no continuation: who sends
    /// one many times wants all workers.
    pub fn continued(&self, tenant: &TenantId, messages: &[ChatMessage]) -> Option<Served> {
        let beginnings = &messages[..messages.len().saturating_sub(1)];
        links(tenant, beginnings).into_iter().rev().find_map(|link| self.0.get(&link).cloned())
    }

    /// The request `messages` is answered.
    pub fn remember(&mut self, tenant: &TenantId, messages: &[ChatMessage], served: Served) {
        if self.0.len() >= REMEMBERED {
            let mut times: Vec<u64> = self.0.values().map(|served| served.at.0).collect();
            let (_, median, _) = times.select_nth_unstable(REMEMBERED / 2);
            let oldest = *median;
            self.0.retain(|_, served| served.at.0 > oldest);
        }
        if let Some(link) = links(tenant, messages).pop() {
            self.0.insert(link, served);
        }
    }
}

/// The hashes of the tenant and the first 1, 2, … messages.
fn links(tenant: &TenantId, messages: &[ChatMessage]) -> Vec<u64> {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    let link = |message: &ChatMessage| {
        serde_json::to_vec(message).unwrap_or_default().hash(&mut hasher);
        hasher.finish()
    };
    messages.iter().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Role, Timestamp, WorkerId};

    fn messages(texts: &[&str]) -> Vec<ChatMessage> {
        texts.iter().map(|text| ChatMessage::new(Role::User, *text)).collect()
    }

    fn served(by: &str, at: u64) -> Served {
        Served { by: WorkerId::parse(by).unwrap(), at: Timestamp(at) }
    }

    #[test]
    fn a_request_that_goes_on_from_another_finds_who_answered_that() {
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        let mut requests = Requests::default();
        requests.remember(&a, &messages(&["system", "one"]), served("w1", 1));
        requests.remember(&a, &messages(&["system", "one", "1", "two"]), served("w2", 2));
        let continued = |tenant, texts: &[&str]| requests.continued(tenant, &messages(texts));
        assert_eq!(continued(&a, &["system", "one", "1", "other"]), Some(served("w1", 1)));
        assert_eq!(continued(&a, &["system", "one", "1", "two", "2", "three"]), Some(served("w2", 2)));
        assert_eq!(continued(&a, &["system", "one"]), None, "the same again");
        assert_eq!(continued(&a, &["system", "another"]), None, "a common beginning is not enough");
        assert_eq!(continued(&b, &["system", "one", "1", "two", "2", "three"]), None, "another tenant's");
        assert_eq!(continued(&a, &[]), None);
    }

    #[test]
    fn few_requests_are_remembered_and_the_newest_among_them() {
        let tenant = TenantId::parse("a").unwrap();
        let mut requests = Requests::default();
        let last = 2 * REMEMBERED as u64;
        for n in 0..=last {
            requests.remember(&tenant, &messages(&[&n.to_string()]), served("w", n));
            assert!(requests.0.len() <= REMEMBERED);
        }
        assert!(requests.continued(&tenant, &messages(&[&last.to_string(), "next"])).is_some());
        assert!(requests.continued(&tenant, &messages(&["0", "next"])).is_none());
    }
}

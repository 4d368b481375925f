//! From which version of its knowledge a tenant is served, as far as this node knows.
//!
//! It is told by news and by what retrieval replies. News may be lost, so what was not confirmed for a while is not known any
//! more; replies may be older than the news, so for a while after it they cannot contradict it.

use protocol::{KnowledgeNews, KnowledgeVersion, TenantId, Timestamp};
use std::collections::HashMap;

/// A worker may look at the catalogue this long after it asked, and its reply may be this long under way.
const SETTLES_MS: u64 = 10_000;
/// Tenants of which something is known at most.
const MOST: usize = 100_000;

struct Known {
    version: KnowledgeVersion,
    at: Timestamp,
    news: Option<Timestamp>,
}

/// What is known of all tenants.
pub(super) struct Versions {
    known: HashMap<TenantId, Known>,
    max_age_ms: u64,
}

impl Versions {
    /// What was not confirmed for `max_age_ms` is not known any more.
    pub fn new(max_age_ms: u64) -> Self {
        Self { known: HashMap::new(), max_age_ms }
    }

    /// From now on the tenant is served from another version.
    pub fn told(&mut self, KnowledgeNews { tenant, version }: KnowledgeNews, now: Timestamp) {
        self.put(tenant, Known { version, at: now, news: Some(now) }, now);
    }

    /// A reply rests on `version`. False: by the news it is not the one that is served.
    pub fn seen(&mut self, tenant: &TenantId, version: KnowledgeVersion, now: Timestamp) -> bool {
        let news = self.known.get(tenant).and_then(|known| known.news).filter(|at| now.ms_from(*at) < SETTLES_MS);
        let agrees = self.known.get(tenant).is_none_or(|known| known.version == version);
        if news.is_some() && !agrees {
            return false;
        }
        self.put(tenant.clone(), Known { version, at: now, news }, now);
        true
    }

    /// The version that is served, if that is known. Version 0 says nothing: there is no knowledge, or a worker does not tell.
    pub fn served(&self, tenant: &TenantId, now: Timestamp) -> Option<KnowledgeVersion> {
        let known = self.known.get(tenant).filter(|known| now.ms_from(known.at) < self.max_age_ms)?;
        Some(known.version).filter(|version| version.0 > 0)
    }

    fn put(&mut self, tenant: TenantId, known: Known, now: Timestamp) {
        if self.known.len() >= MOST {
            let oldest = self.max_age_ms.max(SETTLES_MS);
            self.known.retain(|_, known| now.ms_from(known.at) < oldest);
        }
        if self.known.len() < MOST || self.known.contains_key(&tenant) {
            self.known.insert(tenant, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn news(version: u64) -> KnowledgeNews {
        KnowledgeNews { tenant: tenant("a"), version: KnowledgeVersion(version) }
    }

    fn served(versions: &Versions, now: u64) -> Option<u64> {
        versions.served(&tenant("a"), Timestamp(now)).map(|version| version.0)
    }

    fn seen(versions: &mut Versions, version: u64, now: u64) -> bool {
        versions.seen(&tenant("a"), KnowledgeVersion(version), Timestamp(now))
    }

    #[test]
    fn an_idea_that_nobody_confirms_is_given_up() {
        let mut versions = Versions::new(30_000);
        assert_eq!(served(&versions, 0), None);
        assert!(seen(&mut versions, 3, 1_000));
        assert_eq!((served(&versions, 30_999), served(&versions, 31_000)), (Some(3), None));
        assert_eq!(versions.served(&tenant("b"), Timestamp(1_000)), None);
    }

    #[test]
    fn a_reply_from_before_the_news_changes_nothing() {
        let mut versions = Versions::new(30_000);
        assert!(seen(&mut versions, 3, 0));
        versions.told(news(4), Timestamp(1_000));
        assert_eq!(served(&versions, 1_000), Some(4));
        assert!(!seen(&mut versions, 3, 2_000));
        assert_eq!(served(&versions, 2_000), Some(4));
        assert!(seen(&mut versions, 4, 2_500));
        assert!(!seen(&mut versions, 3, 3_000), "a newer reply does not make an older one right");
        // Other news was lost.
        assert!(seen(&mut versions, 5, 12_000));
        assert_eq!(served(&versions, 12_000), Some(5));
    }

    #[test]
    fn a_version_may_come_back() {
        let mut versions = Versions::new(30_000);
        versions.told(news(4), Timestamp(0));
        versions.told(news(3), Timestamp(10));
        assert_eq!(served(&versions, 10), Some(3));
        assert!(!seen(&mut versions, 4, 20));
    }

    #[test]
    fn version_0_says_nothing() {
        let mut versions = Versions::new(30_000);
        assert!(seen(&mut versions, 0, 0));
        assert_eq!(served(&versions, 0), None);
    }
}

//! Filters that can reach one tenant only.

use protocol::{DocumentId, KnowledgeVersion, TenantId};

/// The version that never comes: the largest number that JSON carries exactly.
pub const NEVER: u64 = (1 << 53) - 1;

/// A filter expression that holds one tenant to its own. There is no other way to make one than from the tenant's id, and
/// what is added narrows it. Ids consist of letters, digits, `.`, `_` and `-`, so that nothing in them ends a quotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantFilter(String);

impl From<&TenantId> for TenantFilter {
    fn from(tenant: &TenantId) -> Self {
        Self(format!("tenant = \"{tenant}\""))
    }
}

impl TenantFilter {
    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What `version` holds.
    pub fn seen_by(&self, version: KnowledgeVersion) -> Self {
        self.and(&format!("added <= {0} AND removed > {0}", version.0))
    }

    /// What came after `base`.
    pub fn added_after(&self, base: KnowledgeVersion) -> Self {
        self.and(&format!("added > {}", base.0))
    }

    /// What went after `base`.
    pub fn removed_after(&self, base: KnowledgeVersion) -> Self {
        self.and(&format!("removed > {} AND removed < {NEVER}", base.0))
    }

    /// What no version from `oldest` on holds.
    pub fn unseen_from(&self, oldest: KnowledgeVersion) -> Self {
        self.and(&format!("removed <= {}", oldest.0))
    }

    /// What was not removed, and came before `version`.
    pub fn living_before(&self, version: KnowledgeVersion) -> Self {
        self.and(&format!("added < {} AND removed = {NEVER}", version.0))
    }

    /// What came with `version`.
    pub fn added_by(&self, version: KnowledgeVersion) -> Self {
        self.and(&format!("added = {}", version.0))
    }

    /// What belongs to one of `documents`.
    pub fn of<'a>(&self, documents: impl IntoIterator<Item = &'a DocumentId>) -> Self {
        let quoted: Vec<String> = documents.into_iter().map(|id| format!("\"{}\"", id.as_str())).collect();
        self.and(&format!("document IN [{}]", quoted.join(", ")))
    }

    /// The tenant's marker.
    pub fn marker(&self) -> Self {
        self.and("holds EXISTS")
    }

    fn and(&self, narrower: &str) -> Self {
        Self(format!("{} AND {narrower}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_quotation() {
        for bad in ["a\" OR tenant EXISTS OR tenant = \"", "a OR b", "a\\", "a)", "\"", ""] {
            assert!(TenantId::parse(bad).is_err() && DocumentId::parse(bad).is_err(), "{bad:?}");
        }
        let filter = TenantFilter::from(&TenantId::parse("a.b-c_d").unwrap());
        let documents = [DocumentId::parse("x").unwrap(), DocumentId::parse("y").unwrap()];
        assert_eq!(filter.of(&documents).as_str(), "tenant = \"a.b-c_d\" AND document IN [\"x\", \"y\"]");
    }
}

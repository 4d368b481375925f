//! The questions of a tenant's answers, as this node knows them, found by their meaning.

use super::{
    entry::Listed,
    guard::agree,
    scope::{Hash, Key, Scope, hash_of},
    store::Place,
};
use protocol::TenantId;
use std::collections::{HashMap, VecDeque};

/// Bytes of all tenants' vectors and questions that a node holds; the tenant that nobody asked for longest goes first.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// Bytes of an item besides its vector and its texts.
const OVERHEAD: usize = 128;

/// What a node knows of the lists.
pub(super) struct Mirror {
    tenants: HashMap<TenantId, Known>,
    /// Of one tenant.
    entries: usize,
    bytes: usize,
    /// Of all tenants.
    most_bytes: usize,
    /// Counts uses.
    uses: u64,
}

#[derive(Default)]
struct Known {
    items: VecDeque<Item>,
    last: Option<Place>,
    bytes: usize,
    used: u64,
}

struct Item {
    scope: String,
    question: String,
    hash: Hash,
    /// Empty where none is known.
    vector: Vec<f32>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.scope.len() + self.question.len() + 4 * self.vector.len() + OVERHEAD
    }
}

impl Mirror {
    /// At most `entries` of each tenant, and `most_bytes` of all.
    pub fn new(entries: usize, most_bytes: usize) -> Self {
        Self { tenants: HashMap::new(), entries, bytes: 0, most_bytes, uses: 0 }
    }

    /// How far the tenant's list is known.
    pub fn last(&self, tenant: &TenantId) -> Option<Place> {
        self.tenants.get(tenant)?.last.clone()
    }

    /// What was listed after `from`. Nothing happens when that has been read meanwhile.
    pub fn extend(&mut self, tenant: &TenantId, from: Option<&Place>, tail: Vec<(Place, Listed)>) {
        self.uses += 1;
        let (uses, entries) = (self.uses, self.entries);
        let known = self.tenants.entry(tenant.clone()).or_default();
        known.used = uses;
        if known.last.as_ref() != from {
            return;
        }
        let before = known.bytes;
        for (place, listed) in tail {
            known.push(listed, entries);
            known.last = Some(place);
        }
        self.bytes = self.bytes - before + known.bytes;
        self.shrink(tenant);
    }

    fn shrink(&mut self, keep: &TenantId) {
        while self.bytes > self.most_bytes {
            let others = self.tenants.iter().filter(|(tenant, _)| *tenant != keep);
            let Some(unused) = others.min_by_key(|(_, known)| known.used).map(|(tenant, _)| tenant.clone()) else {
                return;
            };
            self.bytes -= self.tenants.remove(&unused).map_or(0, |known| known.bytes);
        }
    }

    /// At most `most` questions of the scope that mean the same as `question`, as far as its unit vector and single words
    /// tell: the nearest first, and none with a cosine below `least`.
    pub fn nearest(&self, scope: &Scope, question: &str, vector: &[f32], least: f32, most: usize) -> Vec<Key> {
        let Some(known) = self.tenants.get(&scope.tenant) else { return Vec::new() };
        let (name, hash) = (scope.name(), hash_of(question));
        let of_scope = known.items.iter().filter(|item| item.scope == name && item.hash != hash);
        let near = of_scope.filter_map(|item| Some((cosine(&item.vector, vector)?, item)));
        let mut near: Vec<(f32, &Item)> = near.filter(|(cosine, _)| *cosine >= least).collect();
        near.sort_by(|one, other| other.0.total_cmp(&one.0));
        let same = near.into_iter().filter(|(_, item)| agree(&item.question, question)).take(most);
        same.map(|(_, item)| Key { scope: scope.clone(), question: item.hash.clone() }).collect()
    }

    /// Questions that are known.
    pub fn len(&self) -> usize {
        self.tenants.values().map(|known| known.items.len()).sum()
    }
}

impl Known {
    fn push(&mut self, listed: Listed, entries: usize) {
        let hash = hash_of(&listed.question);
        let (scope, question) = (listed.scope, listed.question);
        let vector = listed.vector.and_then(|vector| vector.unit()).unwrap_or_default();
        if let Some(old) = self.items.iter().position(|item| item.hash == hash && item.scope == scope) {
            self.bytes -= self.items.remove(old).map_or(0, |item| item.bytes());
        }
        let item = Item { scope, question, hash, vector };
        self.bytes += item.bytes();
        self.items.push_back(item);
        while self.items.len() > entries {
            self.bytes -= self.items.pop_front().map_or(0, |item| item.bytes());
        }
    }
}

/// Of two unit vectors; `None`: they are of different models, or not there.
pub(super) fn cosine(one: &[f32], other: &[f32]) -> Option<f32> {
    (one.len() == other.len() && !one.is_empty()).then(|| one.iter().zip(other).map(|(x, y)| x * y).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{KnowledgeVersion, Lang, QuantizedVector};

    fn scope(tenant: &str, version: u64) -> Scope {
        let (tenant, version) = (TenantId::parse(tenant).unwrap(), KnowledgeVersion(version));
        Scope { tenant, lang: Lang::en(), version, policy: Hash::of([]) }
    }

    fn listed(scope: &Scope, question: &str, vector: [f32; 2]) -> Listed {
        let vector = Some(QuantizedVector::of(&vector));
        Listed { scope: scope.name(), question: question.into(), vector }
    }

    fn place(n: usize) -> Place {
        Place(n.to_string())
    }

    fn filled(entries: usize, items: &[(&Scope, &str, [f32; 2])]) -> Mirror {
        let mut mirror = Mirror::new(entries, MAX_BYTES);
        for (n, (scope, question, vector)) in items.iter().enumerate() {
            let from = mirror.last(&scope.tenant);
            mirror.extend(&scope.tenant, from.as_ref(), vec![(place(n), listed(scope, question, *vector))]);
        }
        mirror
    }

    #[test]
    fn the_nearest_of_the_same_scope_is_found() {
        let (one, newer, other) = (scope("a", 1), scope("a", 2), scope("b", 1));
        let (near, nearer, far) = ([1.0, 0.2], [1.0, 0.1], [0.0, 1.0]);
        let mirror = filled(
            9,
            &[
                (&one, "near", near),
                (&one, "nearer", nearer),
                (&one, "far", far),
                (&newer, "n", nearer),
                (&other, "o", nearer),
            ],
        );
        let found = |scope: &Scope, least| mirror.nearest(scope, "asked", &[1.0, 0.0], least, 9);
        let keys = |texts: &[&str]| texts.iter().map(|text| Key::new(one.clone(), text)).collect::<Vec<_>>();
        assert_eq!(found(&one, 0.9), keys(&["nearer", "near"]));
        assert_eq!(found(&one, 0.99), keys(&["nearer"]));
        assert_eq!(found(&newer, 0.9).len(), 1);
        assert_eq!(found(&scope("c", 1), 0.0), []);
        assert_eq!(mirror.nearest(&one, "asked", &[1.0], 0.0, 9), [], "a vector of another model");
        assert_eq!(mirror.nearest(&one, "not near", &[1.0, 0.0], 0.9, 9), [], "it does not agree");
    }

    #[test]
    fn a_tail_is_read_once_and_the_oldest_go() {
        let scope = scope("a", 1);
        let mut mirror = filled(2, &[(&scope, "p", [1.0, 0.0]), (&scope, "q", [1.0, 0.0]), (&scope, "r", [1.0, 0.0])]);
        assert_eq!(mirror.len(), 2);
        let tail = vec![(place(3), listed(&scope, "s", [1.0, 0.0]))];
        mirror.extend(&scope.tenant, Some(&place(2)), tail.clone());
        // Somebody else has read it, too.
        mirror.extend(&scope.tenant, Some(&place(2)), tail);
        let texts: Vec<Key> = ["r", "s"].map(|text| Key::new(scope.clone(), text)).into();
        assert_eq!(mirror.nearest(&scope, "x", &[1.0, 0.0], 0.9, 9), texts);
        let again = vec![(place(4), listed(&scope, "r", [1.0, 0.0]))];
        mirror.extend(&scope.tenant, Some(&place(3)), again);
        assert_eq!((mirror.len(), mirror.bytes), (2, mirror.tenants[&scope.tenant].bytes));
    }

    #[test]
    fn the_memory_is_bounded_over_all_tenants() {
        let (long, most) = ("x".repeat(1_000), 4_000);
        let mut mirror = Mirror::new(100, most);
        for n in 0..10 {
            let scope = scope(&format!("t{n}"), 1);
            mirror.extend(&scope.tenant, None, vec![(place(n), listed(&scope, &long, [1.0, 0.0]))]);
            assert!(mirror.bytes <= most);
        }
        assert_eq!(mirror.len(), 3);
        assert!(mirror.last(&TenantId::parse("t9").unwrap()).is_some());
    }
}

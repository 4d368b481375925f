//! The waiting line: who comes next when there is room.
//!
//! Classes go before each other, but none is passed over more than [`PATIENCE`] times in a row. Within a class the tenant
//! comes next that has been served least for its weight, counted in tokens (the virtual token counter of Sheng et al.,
//! "Fairness in Serving Large Language Models", OSDI 2024); its own requests keep their order.

use crate::engine::SequenceId;
use protocol::{Priority, TenantId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Starts of other classes that a class waits for at most.
const PATIENCE: u32 = 8;

/// Whose request, and how urgent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub tenant: TenantId,
    pub priority: Priority,
    /// The tenant's share in relation to others', at least 1.
    pub weight: u32,
}

/// Requests without a slot.
#[derive(Default)]
pub(crate) struct Waiting {
    classes: BTreeMap<Priority, Class>,
    /// What tenants were given, in tokens per weight.
    served: HashMap<TenantId, f64>,
    /// What the tenant had been given that was served last; nobody is owed more than from there on.
    floor: f64,
    len: usize,
}

#[derive(Default)]
struct Class {
    tenants: BTreeMap<TenantId, VecDeque<SequenceId>>,
    passed_over: u32,
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.len
    }

    /// A new request: after the tenant's others.
    pub fn push(&mut self, id: SequenceId, claim: &Claim) {
        let served = self.served.entry(claim.tenant.clone()).or_insert(self.floor);
        *served = served.max(self.floor);
        self.line(claim).push_back(id);
        self.len += 1;
    }

    /// One that lost its slot: before the tenant's others.
    pub fn push_front(&mut self, id: SequenceId, claim: &Claim) {
        self.line(claim).push_front(id);
        self.len += 1;
    }

    /// Who is next; stays in the line.
    pub fn next(&self) -> Option<SequenceId> {
        let (class, tenant) = self.choose()?;
        self.classes[&class].tenants[tenant].front().copied()
    }

    /// Takes the one that is next out.
    pub fn start_next(&mut self) {
        let Some((class, tenant)) = self.choose().map(|(class, tenant)| (class, tenant.clone())) else { return };
        self.floor = self.floor.max(self.served.get(&tenant).copied().unwrap_or_default());
        for (other, waiting) in &mut self.classes {
            waiting.passed_over = if *other == class { 0 } else { waiting.passed_over + 1 };
        }
        self.remove_where(class, &tenant, |line| line.pop_front().is_some());
    }

    /// Forgets a request.
    pub fn remove(&mut self, id: SequenceId, claim: &Claim) {
        self.remove_where(claim.priority, &claim.tenant, |line| {
            let before = line.len();
            line.retain(|other| *other != id);
            line.len() < before
        });
    }

    /// A tenant was given `tokens`.
    pub fn charge(&mut self, claim: &Claim, tokens: usize) {
        *self.served.entry(claim.tenant.clone()).or_insert(self.floor) +=
            tokens as f64 / f64::from(claim.weight.max(1));
    }

    /// Forgets what tenants were given who are owed no less than a new one.
    pub fn settle(&mut self) {
        let (classes, floor) = (&self.classes, self.floor);
        let waits = |tenant: &TenantId| classes.values().any(|class| class.tenants.contains_key(tenant));
        self.served.retain(|tenant, served| *served > floor || waits(tenant));
    }

    fn line(&mut self, claim: &Claim) -> &mut VecDeque<SequenceId> {
        let class = self.classes.entry(claim.priority).or_default();
        class.tenants.entry(claim.tenant.clone()).or_default()
    }

    /// The class and the tenant that come next.
    fn choose(&self) -> Option<(Priority, &TenantId)> {
        let impatient = self.classes.iter().find(|(_, class)| class.passed_over >= PATIENCE);
        let (priority, class) = impatient.or_else(|| self.classes.iter().next())?;
        let served = |tenant: &TenantId| self.served.get(tenant).copied().unwrap_or_default();
        let tenant = class.tenants.keys().min_by(|a, b| served(a).total_cmp(&served(b)))?;
        Some((*priority, tenant))
    }

    /// Empty lines and classes are forgotten with their patience.
    fn remove_where(
        &mut self,
        class: Priority,
        tenant: &TenantId,
        remove: impl FnOnce(&mut VecDeque<SequenceId>) -> bool,
    ) {
        let Some(waiting) = self.classes.get_mut(&class) else { return };
        let Some(line) = waiting.tenants.get_mut(tenant) else { return };
        self.len -= usize::from(remove(line));
        if line.is_empty() {
            waiting.tenants.remove(tenant);
        }
        if waiting.tenants.is_empty() {
            self.classes.remove(&class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(tenant: &str, priority: Priority, weight: u32) -> Claim {
        Claim { tenant: TenantId::parse(tenant).unwrap(), priority, weight }
    }

    fn started(waiting: &mut Waiting) -> u64 {
        let next = waiting.next().unwrap();
        waiting.start_next();
        next.0
    }

    #[test]
    fn urgent_ones_go_first_and_none_waits_for_ever() {
        let mut waiting = Waiting::default();
        (0..40).for_each(|id| waiting.push(SequenceId(id), &claim("a", Priority::Interactive, 1)));
        waiting.push(SequenceId(100), &claim("a", Priority::Batch, 1));
        waiting.push(SequenceId(101), &claim("b", Priority::Retry, 1));
        let order: Vec<u64> = (0..20).map(|_| started(&mut waiting)).collect();
        assert_eq!(order[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order[8..10], [101, 100]);
        assert_eq!(order[10], 8);
    }

    #[test]
    fn a_newcomer_does_not_wait_behind_a_flood_nor_is_it_owed_the_past() {
        let mut waiting = Waiting::default();
        let (flood, small) = (claim("flood", Priority::Interactive, 1), claim("small", Priority::Interactive, 1));
        (0..50).for_each(|id| waiting.push(SequenceId(id), &flood));
        for _ in 0..20 {
            started(&mut waiting);
            waiting.charge(&flood, 1_000);
        }
        (100..110).for_each(|id| waiting.push(SequenceId(id), &small));
        let mut own = 0;
        for _ in 0..10 {
            let is_small = started(&mut waiting) >= 100;
            waiting.charge(if is_small { &small } else { &flood }, 1_000);
            own += usize::from(is_small);
        }
        assert!((5..=6).contains(&own), "{own}");
    }

    proptest! {
        #[test]
        fn tokens_are_shared_by_weight(weights in prop::collection::vec(1u32..6, 2..5), cost in prop::collection::vec(1usize..200, 5)) {
            let mut waiting = Waiting::default();
            let claims: Vec<Claim> =
                weights.iter().enumerate().map(|(n, w)| claim(&format!("t{n}"), Priority::Interactive, *w)).collect();
            let mut given = vec![0usize; claims.len()];
            let id = |n: usize, round: usize| SequenceId((n * 100_000 + round) as u64);
            (0..claims.len()).for_each(|n| (0..2_000).for_each(|round| waiting.push(id(n, round), &claims[n])));
            for round in 0..1_500 {
                let n = (started(&mut waiting) / 100_000) as usize;
                let tokens = cost[round % cost.len()];
                waiting.charge(&claims[n], tokens);
                given[n] += tokens;
            }
            let most = *cost.iter().max().unwrap() as f64;
            let shares: Vec<f64> = given.iter().zip(&weights).map(|(given, w)| *given as f64 / f64::from(*w)).collect();
            let spread = shares.iter().fold(0.0f64, |a, b| a.max(*b)) - shares.iter().fold(f64::MAX, |a, b| a.min(*b));
            prop_assert!(spread <= 2.0 * most, "{:?}", shares);
        }
    }
}

//! The line in front of the queue: who goes next when there is room.
//!
//! The same order as within a worker: urgent classes first, but none is passed over more than [`PATIENCE`] times in a row;
//! within a class the tenant that was given least for its weight (start-time fair queueing, P. Goyal et al., SIGCOMM 1996);
//! its own jobs in order. A job's cost is an estimate of the work that it asks for.

use protocol::{Priority, TenantId, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Starts of other classes that a class waits for at most.
const PATIENCE: u32 = 8;

/// Whose job, how urgent and how large.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub tenant: TenantId,
    pub priority: Priority,
    /// The tenant's share in relation to others', at least 1.
    pub weight: u32,
    /// Work, in any unit.
    pub cost: u64,
}

/// A claim that waits, with what is to be done when its turn has come.
pub(super) struct Place<T> {
    pub id: u64,
    pub claim: Claim,
    pub since: Timestamp,
    pub item: T,
}

#[derive(Default)]
struct Class<T> {
    tenants: BTreeMap<TenantId, VecDeque<Place<T>>>,
    passed_over: u32,
}

/// Jobs that wait; each tenant has its own bound.
pub(super) struct Line<T> {
    classes: BTreeMap<Priority, Class<T>>,
    /// How many of each tenant wait.
    waiting: HashMap<TenantId, usize>,
    /// What tenants were given, as cost per weight; forgotten when nobody waits.
    served: HashMap<TenantId, f64>,
    /// What the tenant had been given that was served last; nobody is owed more than from there on.
    floor: f64,
    len: usize,
    next_id: u64,
    most_per_tenant: usize,
}

impl<T> Line<T> {
    pub fn new(most_per_tenant: usize) -> Self {
        let (classes, waiting, served) = Default::default();
        Self { classes, waiting, served, floor: 0.0, len: 0, next_id: 0, most_per_tenant }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a claim behind the tenant's others and returns its number; `None`: too many of the tenant wait.
    pub fn push(&mut self, claim: Claim, since: Timestamp, item: T) -> Option<u64> {
        let waiting = self.waiting.entry(claim.tenant.clone()).or_default();
        if *waiting >= self.most_per_tenant {
            return None;
        }
        *waiting += 1;
        self.len += 1;
        self.next_id += 1;
        let id = self.next_id;
        let served = self.served.entry(claim.tenant.clone()).or_insert(self.floor);
        *served = served.max(self.floor);
        let class =
            self.classes.entry(claim.priority).or_insert_with(|| Class { tenants: BTreeMap::new(), passed_over: 0 });
        class.tenants.entry(claim.tenant.clone()).or_default().push_back(Place { id, claim, since, item });
        Some(id)
    }

    /// Takes the next one out.
    pub fn pop(&mut self) -> Option<Place<T>> {
        let (class, tenant) = self.choose()?;
        let place = self.take(class, &tenant, |line| line.pop_front())?;
        for (other, waiting) in &mut self.classes {
            waiting.passed_over = if *other == class { 0 } else { waiting.passed_over + 1 };
        }
        if let Some(served) = self.served.get_mut(&tenant) {
            self.floor = self.floor.max(*served);
            *served += place.claim.cost as f64 / f64::from(place.claim.weight.max(1));
        }
        if self.len == 0 {
            self.served.clear();
            self.floor = 0.0;
        }
        Some(place)
    }

    /// Takes one out that waits no longer.
    pub fn remove(&mut self, id: u64, tenant: &TenantId, class: Priority) -> Option<Place<T>> {
        self.take(class, tenant, |line| {
            let at = line.iter().position(|place| place.id == id)?;
            line.remove(at)
        })
    }

    /// Since when the tenant's oldest one waits.
    pub fn oldest(&self, tenant: &TenantId) -> Option<Timestamp> {
        let fronts = self.classes.values().filter_map(|class| class.tenants.get(tenant)?.front());
        fronts.map(|place| place.since).min()
    }

    /// The class and the tenant that come next.
    fn choose(&self) -> Option<(Priority, TenantId)> {
        let impatient = self.classes.iter().find(|(_, class)| class.passed_over >= PATIENCE);
        let (priority, class) = impatient.or_else(|| self.classes.iter().next())?;
        let served = |tenant: &TenantId| self.served.get(tenant).copied().unwrap_or_default();
        let tenant = class.tenants.keys().min_by(|a, b| served(a).total_cmp(&served(b)))?;
        Some((*priority, tenant.clone()))
    }

    /// Empty lines and classes are forgotten with their patience.
    fn take(
        &mut self,
        class: Priority,
        tenant: &TenantId,
        take: impl FnOnce(&mut VecDeque<Place<T>>) -> Option<Place<T>>,
    ) -> Option<Place<T>> {
        let waiting = self.classes.get_mut(&class)?;
        let line = waiting.tenants.get_mut(tenant)?;
        let taken = take(line)?;
        if line.is_empty() {
            waiting.tenants.remove(tenant);
        }
        if waiting.tenants.is_empty() {
            self.classes.remove(&class);
        }
        self.len -= 1;
        if let Some(count) = self.waiting.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(tenant);
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(tenant: &str, priority: Priority, weight: u32, cost: u64) -> Claim {
        Claim { tenant: TenantId::parse(tenant).unwrap(), priority, weight, cost }
    }

    fn line() -> Line<()> {
        Line::new(1_000)
    }

    fn push(line: &mut Line<()>, tenant: &str, priority: Priority, weight: u32) -> u64 {
        line.push(claim(tenant, priority, weight, 1), Timestamp(0), ()).unwrap()
    }

    fn order(line: &mut Line<()>) -> Vec<String> {
        std::iter::from_fn(|| line.pop()).map(|place| place.claim.tenant.to_string()).collect()
    }

    #[test]
    fn tenants_share_by_weight_and_who_comes_late_is_owed_nothing() {
        let mut line = line();
        (0..100).for_each(|_| {
            push(&mut line, "a", Priority::Interactive, 1);
        });
        let first: Vec<_> = (0..40).map(|_| line.pop().unwrap().claim.tenant.to_string()).collect();
        assert!(first.iter().all(|tenant| tenant == "a"));
        (0..100).for_each(|_| {
            push(&mut line, "b", Priority::Interactive, 3);
        });
        let next: Vec<_> = (0..40).map(|_| line.pop().unwrap().claim.tenant.to_string()).collect();
        let of_a = next.iter().filter(|tenant| *tenant == "a").count();
        assert!((9..=11).contains(&of_a), "{next:?}");
    }

    #[test]
    fn large_jobs_cost_more() {
        let mut line = line();
        for _ in 0..50 {
            line.push(claim("a", Priority::Interactive, 1, 300), Timestamp(0), ());
            line.push(claim("b", Priority::Interactive, 1, 100), Timestamp(0), ());
        }
        let first: Vec<_> = (0..40).map(|_| line.pop().unwrap().claim.tenant.to_string()).collect();
        let of_a = first.iter().filter(|tenant| *tenant == "a").count();
        assert!((9..=11).contains(&of_a), "{first:?}");
    }

    #[test]
    fn urgent_ones_go_first_and_none_waits_for_ever() {
        let mut line = line();
        (0..40).for_each(|_| {
            push(&mut line, "a", Priority::Interactive, 1);
        });
        push(&mut line, "batch", Priority::Batch, 1);
        push(&mut line, "retry", Priority::Retry, 1);
        let order = order(&mut line);
        let place = |name: &str| order.iter().position(|tenant| tenant == name).unwrap();
        assert!(place("retry") <= PATIENCE as usize && place("retry") > 0, "{order:?}");
        assert!(place("batch") <= PATIENCE as usize + 1 && place("batch") > place("retry"), "{order:?}");
    }

    #[test]
    fn each_tenant_has_its_own_bound() {
        let mut line = Line::new(2);
        for (tenant, fits) in [("a", true), ("a", true), ("a", false), ("b", true)] {
            let pushed = line.push(claim(tenant, Priority::Interactive, 1, 1), Timestamp(0), ());
            assert_eq!(pushed.is_some(), fits, "{tenant}");
        }
        assert_eq!(order(&mut line).len(), 3);
        assert!(line.waiting.is_empty() && line.served.is_empty() && line.classes.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_given_twice_and_a_tenant_s_own_order_holds(
            steps in prop::collection::vec((0u8..4, 0usize..3, 0usize..3), 0..200),
        ) {
            let classes = [Priority::Interactive, Priority::Retry, Priority::Batch];
            let (mut line, mut waiting) = (Line::new(5), Vec::<(u64, String, Priority)>::new());
            for (step, tenant, class) in steps {
                let (name, priority) = (["a", "b", "c"][tenant], classes[class]);
                let of_tenant = waiting.iter().filter(|(_, other, _)| *other == name).count();
                match step {
                    0 | 1 => {
                        let id = line.push(claim(name, priority, 1 + tenant as u32, 1), Timestamp(0), ());
                        prop_assert_eq!(id.is_some(), of_tenant < 5);
                        waiting.extend(id.map(|id| (id, name.to_string(), priority)));
                    }
                    2 => {
                        let popped = line.pop().map(|place| (place.id, place.claim.tenant.to_string(), place.claim.priority));
                        prop_assert_eq!(popped.is_none(), waiting.is_empty());
                        if let Some((id, tenant, priority)) = popped {
                            let at = waiting.iter().position(|(_, t, p)| *t == tenant && *p == priority).unwrap();
                            prop_assert_eq!(waiting.remove(at).0, id, "the oldest of its tenant and class");
                        }
                    }
                    _ => {
                        if let Some((id, tenant, priority)) = waiting.pop() {
                            let tenant = TenantId::parse(tenant).unwrap();
                            prop_assert!(line.remove(id, &tenant, priority).is_some());
                            prop_assert!(line.remove(id, &tenant, priority).is_none());
                        }
                    }
                }
                prop_assert_eq!(line.len(), waiting.len());
            }
        }
    }
}

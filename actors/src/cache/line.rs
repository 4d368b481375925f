//! Equal questions in one line: the one in front asks, the others wait for what comes of it. Pure.
//!
//! Whatever the order of calls, a line that is not empty has somebody in front, and everybody who waits is told once: that
//! they are in front now, that there is an answer, or that they go their own way.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// After so many answers that cannot be shared nobody waits for another one.
const ANSWERS: u32 = 3;

/// What became of who was in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is an answer for all.
    Answered,
    /// The answer cannot be shared; the next one may be.
    Unfit,
    /// There is no answer, nor would the next one get one at once.
    Failed,
    /// Nobody waited for it any more.
    Left,
}

/// What somebody who waits is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// They are in front now.
    Front,
    /// There is an answer.
    Answer,
    /// They go their own way.
    Alone,
}

struct Flight<T> {
    front: u64,
    waiting: VecDeque<(u64, T)>,
    answers: u32,
}

/// The lines of a node, by question; as long as there are turns.
pub(super) struct Lines<K, T> {
    flights: HashMap<K, Flight<T>>,
}

impl<K: Hash + Eq + Clone, T> Lines<K, T> {
    pub fn new() -> Self {
        Self { flights: HashMap::new() }
    }

    /// `id`, which is new, asks; `waits` is needed only if it is not in front. Returns whether it is.
    pub fn enter(&mut self, key: &K, id: u64, waits: impl FnOnce() -> T) -> bool {
        match self.flights.get_mut(key) {
            Some(flight) => flight.waiting.push_back((id, waits())),
            None => {
                let flight = Flight { front: id, waiting: VecDeque::new(), answers: 0 };
                self.flights.insert(key.clone(), flight);
                return true;
            }
        }
        false
    }

    /// `id` ends, or is not in the line any more. Returns who is to be told what.
    pub fn end(&mut self, key: &K, id: u64, end: End) -> Vec<(T, Told)> {
        let Some(flight) = self.flights.get_mut(key) else { return Vec::new() };
        if flight.front != id {
            flight.waiting.retain(|(waits, _)| *waits != id);
            return Vec::new();
        }
        flight.answers += u32::from(end == End::Unfit);
        match end {
            End::Answered => self.dissolve(key, Told::Answer),
            End::Failed => self.dissolve(key, Told::Alone),
            End::Unfit if flight.answers >= ANSWERS => self.dissolve(key, Told::Alone),
            End::Unfit | End::Left => self.next(key),
        }
    }

    fn next(&mut self, key: &K) -> Vec<(T, Told)> {
        let next = self.flights.get_mut(key).and_then(|flight| {
            let (id, waits) = flight.waiting.pop_front()?;
            flight.front = id;
            Some(waits)
        });
        if next.is_none() {
            self.flights.remove(key);
        }
        next.map(|waits| (waits, Told::Front)).into_iter().collect()
    }

    fn dissolve(&mut self, key: &K, told: Told) -> Vec<(T, Told)> {
        let waiting = self.flights.remove(key).map(|flight| flight.waiting).unwrap_or_default();
        waiting.into_iter().map(|(_, waits)| (waits, told)).collect()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.flights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const ENDS: [End; 4] = [End::Answered, End::Unfit, End::Failed, End::Left];

    /// What everybody knows of themselves.
    #[derive(Clone, Default, PartialEq, Debug)]
    struct World {
        roles: BTreeMap<u64, Role>,
        next: u64,
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Role {
        Front,
        Waits,
    }

    /// Tries every order of `steps` steps: somebody comes, or somebody ends in one of four ways.
    fn explore(path: &mut Vec<(u64, Option<End>)>, steps: usize, visited: &mut usize) {
        let (mut lines, mut world) = (Lines::new(), World::default());
        for (id, end) in path.iter() {
            play(&mut lines, &mut world, *id, *end);
        }
        *visited += 1;
        check(&lines, &world, path);
        if steps == 0 {
            return;
        }
        let moves = world.roles.keys().flat_map(|id| ENDS.map(|end| (*id, Some(end))));
        for step in moves.chain([(world.next, None)]).collect::<Vec<_>>() {
            path.push(step);
            explore(path, steps - 1, visited);
            path.pop();
        }
    }

    fn play(lines: &mut Lines<char, u64>, world: &mut World, id: u64, end: Option<End>) {
        let Some(end) = end else {
            let is_front = lines.enter(&'k', id, || id);
            world.roles.insert(id, if is_front { Role::Front } else { Role::Waits });
            world.next += 1;
            return;
        };
        world.roles.remove(&id);
        for (waits, told) in lines.end(&'k', id, end) {
            assert_eq!(world.roles.get(&waits), Some(&Role::Waits), "somebody was told twice, or after they left");
            match told {
                Told::Front => world.roles.insert(waits, Role::Front),
                Told::Answer | Told::Alone => world.roles.remove(&waits),
            };
        }
    }

    fn check(lines: &Lines<char, u64>, world: &World, path: &[(u64, Option<End>)]) {
        let count = |role: Role| world.roles.values().filter(|known| **known == role).count();
        let (front, waiting) = (count(Role::Front), count(Role::Waits));
        assert!(front <= 1, "two ask: {path:?}");
        assert!(waiting == 0 || front == 1, "somebody waits for nobody: {path:?}");
        assert_eq!(lines.len(), usize::from(front > 0), "{path:?}");
    }

    #[test]
    fn nobody_waits_for_nobody_whatever_the_order() {
        let mut visited = 0;
        explore(&mut Vec::new(), 8, &mut visited);
        assert!(visited > 10_000, "{visited}");
    }

    #[test]
    fn answers_that_cannot_be_shared_are_tried_a_few_times() {
        let mut lines = Lines::new();
        assert_eq!((0..6).filter(|id| lines.enter(&'k', *id, || *id)).count(), 1);
        assert_eq!(lines.end(&'k', 0, End::Unfit), [(1, Told::Front)]);
        assert_eq!(lines.end(&'k', 1, End::Left), [(2, Told::Front)]);
        assert_eq!(lines.end(&'k', 2, End::Unfit), [(3, Told::Front)]);
        assert_eq!(lines.end(&'k', 3, End::Unfit), [(4, Told::Alone), (5, Told::Alone)]);
    }

    #[test]
    fn questions_have_lines_of_their_own() {
        let mut lines = Lines::new();
        assert!(lines.enter(&'a', 1, || 1) && lines.enter(&'b', 2, || 2) && !lines.enter(&'a', 3, || 3));
        assert_eq!(lines.end(&'b', 2, End::Answered), []);
        assert_eq!(lines.end(&'a', 1, End::Answered), [(3, Told::Answer)]);
        assert_eq!(lines.len(), 0);
    }
}

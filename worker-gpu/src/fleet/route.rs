//! Which device has a prompt's beginning in its cache, without the tokens.
//!
//! A prompt is a chain: each message's hash covers the tenant and all messages up to it. A device is remembered by every
//! link of the prompts that went to it, and the longest known link tells where a prompt's beginning is. This is a guess, for
//! the device may have forgotten it meanwhile, and never more: what is shared is decided by the engine, from the tokens.

use protocol::{ChatMessage, TenantId};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Links that are remembered for a device; when there are more, the older half goes.
const LINKS: usize = 8192;

/// The hashes of a prompt's beginnings, the shortest first.
pub(super) fn chain(tenant: &TenantId, messages: &[ChatMessage]) -> Vec<u64> {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    let link = |message: &ChatMessage| {
        format!("{:?}", message.role).hash(&mut hasher);
        message.content.hash(&mut hasher);
        hasher.finish()
    };
    messages.iter().map(link).collect()
}

/// The prompts that went to one device.
#[derive(Default)]
pub(super) struct Known {
    /// With the number of the prompt that was the last to hold it.
    links: HashMap<u64, u64>,
    prompts: u64,
}

impl Known {
    /// How many of the first messages went to the device before.
    pub fn messages(&self, chain: &[u64]) -> usize {
        chain.iter().rposition(|link| self.links.contains_key(link)).map_or(0, |at| at + 1)
    }

    /// The prompt goes there now.
    pub fn learn(&mut self, chain: &[u64]) {
        self.prompts += 1;
        self.links.extend(chain.iter().map(|link| (*link, self.prompts)));
        if self.links.len() > LINKS {
            let mut ages: Vec<u64> = self.links.values().copied().collect();
            let (_, median, _) = ages.select_nth_unstable(LINKS / 2);
            let oldest = *median;
            self.links.retain(|_, prompt| *prompt > oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Role;

    fn prompt(tenant: &str, texts: &[&str]) -> Vec<u64> {
        let messages: Vec<_> = texts.iter().map(|text| ChatMessage::new(Role::User, *text)).collect();
        chain(&TenantId::parse(tenant).unwrap(), &messages)
    }

    #[test]
    fn the_longest_beginning_counts_and_tenants_share_none() {
        let mut known = Known::default();
        known.learn(&prompt("a", &["one", "two", "three"]));
        assert_eq!(known.messages(&prompt("a", &["one", "two", "four", "five"])), 2);
        assert_eq!(known.messages(&prompt("a", &["one", "two", "three", "four"])), 3);
        assert_eq!(known.messages(&prompt("a", &["onetwo"])), 0);
        assert_eq!(known.messages(&prompt("b", &["one", "two"])), 0);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let mut known = Known::default();
        for n in 0..3 * LINKS {
            known.learn(&prompt("a", &[&n.to_string()]));
            assert!(known.links.len() <= LINKS);
        }
        assert_eq!(known.messages(&prompt("a", &[&(3 * LINKS - 1).to_string()])), 1);
        assert_eq!(known.messages(&prompt("a", &["0"])), 0);
    }
}

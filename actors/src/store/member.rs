//! Who may own sessions: a node that holds its lease.

use protocol::NodeId;
use std::fmt;

/// One life of a node. A node whose lease has expired never comes back under the same name: it begins its next life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Counts its lives, from 1.
    pub life: u32,
}

impl Member {
    /// The node's first life.
    pub fn new(node: NodeId) -> Self {
        Self { node, life: 1 }
    }

    /// The life after this one.
    pub fn next_life(&self) -> Self {
        Self { node: self.node.clone(), life: self.life.saturating_add(1) }
    }

    /// The life before this one.
    pub fn last_life(&self) -> Option<Self> {
        (self.life > 1).then(|| Self { node: self.node.clone(), life: self.life - 1 })
    }

    /// What [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, life) = text.rsplit_once('.')?;
        Some(Self { node: NodeId::parse(node).ok()?, life: life.parse().ok()? })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_it_is_written() {
        let member = Member::new(NodeId::parse("node.eu-1").unwrap()).next_life();
        assert_eq!(Member::parse(&member.to_string()), Some(member));
        for bad in ["", "node", "node.", ".1", "node.x"] {
            assert_eq!(Member::parse(bad), None, "{bad}");
        }
    }
}

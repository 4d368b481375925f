//! What a KV block holds, as a hash: the tenant, and every token from the sequence's beginning to the block's end.

use protocol::TenantId;
use sha2::{Digest, Sha256};

/// Names the contents of a full block. Nobody can find two contents of one name, so a block is never taken for another
/// one, and tenants never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockHash([u8; 32]);

impl BlockHash {
    /// What stands before a tenant's first block.
    pub fn root(tenant: &TenantId) -> Self {
        Self(Sha256::digest(tenant.as_str()).into())
    }

    /// The block of `tokens` that follows this one.
    pub fn next(&self, tokens: &[u32]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
        Self(hash.finalize().into())
    }
}

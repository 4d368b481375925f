//! Tells all sessions' nodes which version a tenant is served from.

use super::Knowledge;
use bytes::Bytes;
use protocol::{KnowledgeNews, KnowledgeVersion, TenantId, topology};

impl Knowledge {
    /// Whoever does not hear it learns it from the next answer to a search.
    pub(super) async fn tell(&self, tenant: &TenantId, version: KnowledgeVersion) {
        self.served.look_again(tenant);
        let Some(broker) = &self.stores.news else { return };
        let news = KnowledgeNews { tenant: tenant.clone(), version };
        let told = match serde_json::to_vec(&news) {
            Ok(body) => {
                broker.broadcast(topology::KNOWLEDGE, Bytes::from(body)).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tracing::warn!(%tenant, error, "that another version is served was not broadcast");
        }
    }
}

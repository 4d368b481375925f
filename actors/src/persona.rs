//! Who the assistant is, per tenant.

use protocol::{Lang, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How the assistant of one tenant presents itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Persona {
    /// The company or brand that the assistant speaks for.
    pub name: String,
    /// More about manner and scope, as instructions to the model.
    pub instructions: String,
    /// The language to answer in when a message does not tell its own.
    pub default_lang: Option<Lang>,
}

/// Tenants by id, from configuration for now.
pub type Personas = HashMap<TenantId, Persona>;

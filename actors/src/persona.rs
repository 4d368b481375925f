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
    /// How a customer reaches a person, told word by word; empty: that is not told.
    pub contact: String,
}

/// What a session needs to know of its tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// How its assistant presents itself.
    pub persona: Persona,
    /// Its share of the GPU workers in relation to others', at least 1.
    pub weight: u32,
    /// Whether its assistant says that it does not know an answer, without asking the model.
    pub abstains: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self { persona: Persona::default(), weight: 1, abstains: true }
    }
}

/// Tenants by id, from configuration for now.
pub type Profiles = HashMap<TenantId, Profile>;

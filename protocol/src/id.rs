//! Typed identifiers. A string becomes an id only through validation, so an id may be used in keys and paths as it is.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A string that is not a valid identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 1 to {max} characters of a-z, A-Z, 0-9, '.', '_' or '-', starting with a letter or digit")]
pub struct InvalidId {
    /// Which kind of id was expected.
    pub kind: &'static str,
    /// The longest accepted length in bytes.
    pub max: usize,
}

fn is_valid(text: &str, max: usize) -> bool {
    let safe = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() <= max && text.as_bytes().iter().all(safe) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $max:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Validates `text`; the error tells the rule.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if is_valid(&text, $max) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: stringify!($name), max: $max })
                }
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! random_id {
    ($name:ident, $prefix:literal) => {
        impl $name {
            #[doc = concat!("An id made of the prefix `", $prefix, "` and a random UUID.")]
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!(concat!($prefix, "{}"), uuid.simple()))
            }
        }
    };
}

id!(
    /// A company that uses Frontdesk; the unit of isolation.
    TenantId,
    64
);
id!(
    /// One customer's conversation.
    SessionId,
    64
);
id!(
    /// One unit of work for a worker; redeliveries of it share the id and differ in their attempt.
    JobId,
    64
);
id!(
    /// One process that holds session actors.
    NodeId,
    64
);
id!(
    /// One worker process.
    WorkerId,
    64
);
id!(
    /// One document of a tenant's knowledge.
    DocumentId,
    128
);
id!(
    /// The client's own id of a message; a repeat of it returns the first answer.
    ClientMessageId,
    128
);
id!(
    /// Documents that are published together.
    IngestId,
    64
);
id!(
    /// The SHA-256 of a document's original, 64 hexadecimal digits.
    ContentHash,
    64
);
random_id!(IngestId, "ing_");
random_id!(SessionId, "ses_");
random_id!(JobId, "job_");
random_id!(NodeId, "node-");
random_id!(WorkerId, "worker-");
random_id!(ClientMessageId, "msg_");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_could_escape_a_key_or_a_path() {
        for bad in ["", "../x", ".hidden", "a b", "a/b", "a:b", "a*", "租户", &"x".repeat(65)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["demo", "a.b-c_d", "9"] {
            assert!(TenantId::parse(good).is_ok(), "{good:?}");
        }
    }
}

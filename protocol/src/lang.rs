//! The language of a message and of its answer.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A primary language subtag in lower case (`zh`, `en`, `pt`), as in BCP 47 (RFC 5646 §2.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lang(String);

/// A text that is not a language tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lang must be a language tag such as \"zh\" or \"en\", got {0:?}")]
pub struct InvalidLang(pub String);

impl Lang {
    /// English, the language of last resort.
    pub fn en() -> Self {
        Self("en".into())
    }

    /// Chinese.
    pub fn zh() -> Self {
        Self("zh".into())
    }

    /// Takes the primary subtag of a BCP 47 tag: `zh-CN` becomes `zh`.
    pub fn parse(tag: &str) -> Result<Self, InvalidLang> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let plausible = (2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_lowercase());
        if plausible && tag.len() <= 35 { Ok(Self(primary)) } else { Err(InvalidLang(tag.chars().take(40).collect())) }
    }

    /// The primary subtag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Lang {
    type Error = InvalidLang;
    fn try_from(tag: String) -> Result<Self, InvalidLang> {
        Self::parse(&tag)
    }
}

impl From<Lang> for String {
    fn from(lang: Lang) -> String {
        lang.0
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Which questions the cache may answer, and under which policy.

use super::{
    personal::is_personal,
    scope::{Hash, Key, Scope, normalise},
};
use crate::{
    Completion, Config, SamplingRequest,
    ask::Ask,
    prompt::{Grounded, Prompt},
    turn::Spec,
};
use protocol::{DocumentId, Format, KnowledgeVersion, Lang, Passage, Role, Sampling, TenantId};

/// Longer messages, in bytes, are hardly ever asked twice.
const LONGEST: usize = 1024;

/// A question that stands for itself.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub tenant: TenantId,
    pub lang: Lang,
    pub policy: Hash,
    /// As it was asked.
    pub text: String,
}

impl Question {
    /// What a turn asks, if it depends on nothing but its words and the knowledge, and is not about one person.
    pub fn of(tenant: &TenantId, ask: &Ask, spec: &Spec, config: &Config) -> Option<Self> {
        let Prompt::Grounded(grounded) = &spec.prompt else { return None };
        let is_usual = match ask {
            Ask::Message(_) => true,
            Ask::Completion(completion) => is_usual(completion),
        };
        let text = &grounded.question;
        let stands_alone = grounded.history.is_empty() && text.len() <= LONGEST && !normalise(text).is_empty();
        if !is_usual || !stands_alone || is_personal(text) {
            return None;
        }
        let policy = policy(grounded, spec, config);
        Some(Self { tenant: tenant.clone(), lang: spec.lang.clone(), policy, text: text.clone() })
    }

    /// Where its answer from `version` of the knowledge is.
    pub fn at(&self, version: KnowledgeVersion) -> Key {
        let (tenant, lang, policy) = (self.tenant.clone(), self.lang.clone(), self.policy.clone());
        Key::new(Scope { tenant, lang, version, policy }, &self.text)
    }
}

/// Whether a call asks for nothing but an answer. What its client tells the assistant is part of the policy.
fn is_usual(completion: &Completion) -> bool {
    let Completion { messages, knowledge, sampling, tools, thinking, .. } = completion;
    let mut told = messages.iter().filter(|message| message.role == Role::System);
    let is_plain = *sampling == SamplingRequest::default() && sampling.format == Format::Text && tools.is_empty();
    *knowledge && is_plain && *thinking != Some(true) && !told.any(|message| is_personal(&message.content))
}

/// The hash of what shapes an answer besides question, language, knowledge and model. The prompt's own text stands for its
/// rules, the persona and its instructions, so none of them can change unnoticed.
fn policy(grounded: &Grounded, spec: &Spec, config: &Config) -> Hash {
    let rules = Grounded { question: String::new(), history: Vec::new(), ..grounded.clone() };
    let prompt = Prompt::Grounded(rules).build(&probe()).messages;
    let sampling = Sampling { seed: 0, ..spec.sampling.clone() };
    let abstains_below = spec.policy.abstention.as_ref().map(|abstention| abstention.below);
    let limits = (config.prompt_tokens, config.passages, spec.policy.faq_confidence, abstains_below);
    let parts = [serde_json::to_vec(&prompt), serde_json::to_vec(&sampling), serde_json::to_vec(&limits)];
    Hash::of(parts.iter().map(|part| part.as_deref().unwrap_or_default()))
}

fn probe() -> Vec<Passage> {
    let document = DocumentId::parse("probe").into_iter();
    let passage = |document| Passage { document, chunk: 0, title: "t".into(), text: "p".into(), score: 1.0 };
    document.map(passage).collect()
}

//! What the assistant answers without the model, and when.

use crate::{
    Config, Persona, Profile,
    conversation::Before,
    courtesy::{self, Kind},
    turn::{Abstention, Given, Policy},
    unknown,
};
use protocol::{Lang, Origin};

/// What was found is more likely than not to tell how a person is reached.
const LIKELY: f32 = 0.5;

/// A customer's message to the assistant.
pub(crate) struct Heard<'a> {
    /// What was said.
    pub message: &'a str,
    /// The answer's language.
    pub lang: &'a Lang,
    /// What went before.
    pub before: &'a Before<'a>,
}

impl Heard<'_> {
    /// The answer to a courtesy, and to the wish for a person where it is known how one is reached.
    pub fn reply(&self, profile: &Profile) -> Option<Given> {
        let Persona { name, contact, .. } = &profile.persona;
        let text = match self.courtesy(profile)? {
            Kind::Person => (!contact.is_empty()).then(|| unknown::person(self.lang, contact)),
            kind => courtesy::reply(kind, self.lang, name),
        };
        text.map(|text| Given { text, citations: Vec::new(), origin: Origin::Courtesy, degraded: false })
    }

    /// When what retrieval finds is answered without the model.
    pub fn policy(&self, config: &Config, profile: &Profile) -> Policy {
        let (below, contact) = (config.abstain_below, &profile.persona.contact);
        let abstains = profile.abstains && below > 0.0 && !self.before.is_replied_by(self.message);
        let abstention = match self.courtesy(profile) {
            // A model would promise to connect somebody.
            Some(Kind::Person) => Some((below.max(LIKELY), unknown::person(self.lang, contact))),
            _ => abstains.then(|| (below, unknown::answer(self.lang, contact))),
        };
        Policy {
            faq_confidence: Some(config.faq_confidence),
            told: self.before.told(self.message),
            abstention: abstention.map(|(below, text)| Abstention { below, text }),
        }
    }

    /// What the message means if it is nothing but a courtesy.
    fn courtesy(&self, profile: &Profile) -> Option<Kind> {
        self.before.means(&courtesy::recognise(self.message)?, !profile.persona.contact.is_empty())
    }
}

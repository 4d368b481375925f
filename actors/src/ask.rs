//! What customers ask for: checks at the door, and the turn's specification.

use crate::{
    Completion, Config, Persona, SessionView,
    env::Env,
    lang,
    prompt::{Grounded, Prompt, estimate},
    turn::{Knowledge, Spec},
};
use protocol::{ChatMessage, ErrorCode, Failure, JobId, Lang, Role, Sampling, Submit, TenantId, Timestamp};

/// The assistant's temperature: close to the passages, without the loops of a greedy small model.
const TEMPERATURE: f32 = 0.2;
const TOP_P: f32 = 0.9;

/// What a turn answers.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// A message in a session.
    Message(Submit),
    /// A stateless call.
    Completion(Completion),
}

impl Ask {
    /// Refuses what no session could answer; the failure names the field.
    pub fn check(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Ask::Message(submit) => check_text("content", &submit.content, config.message_bytes),
            Ask::Completion(completion) => check_completion(completion, config),
        }
    }

    /// The turn that answers it, accepted at `accepted`; refuses what the prompt has no room for.
    pub fn spec(
        &self,
        env: &Env,
        tenant: &TenantId,
        view: &SessionView,
        job: JobId,
        accepted: Timestamp,
    ) -> Result<Spec, Failure> {
        let persona = env.persona(tenant);
        let (lang, prompt, knowledge, sampling) = match self {
            Ask::Message(submit) => {
                let lang = submit.lang.clone().unwrap_or_else(|| language(&submit.content, view, &persona));
                let grounded =
                    ground(&env.config, persona, lang.clone(), view.chat(), submit.content.clone(), "content")?;
                (lang, Prompt::Grounded(grounded), Some(submit.content.clone()), sampling(env, None))
            }
            Ask::Completion(completion) => {
                let lang = language(completion.question().unwrap_or_default(), view, &persona);
                let prompt = completion.prompt(&env.config, persona, lang.clone())?;
                let query = completion.knowledge.then(|| completion.question().unwrap_or_default().to_string());
                (lang, prompt, query, sampling(env, Some(completion)))
            }
        };
        Ok(Spec {
            job,
            lang,
            knowledge: knowledge.map(|query| Knowledge { query, top_k: env.config.passages }),
            prompt,
            sampling,
            deadline: accepted.after_ms(env.config.turn_deadline_ms),
            retrieval_deadline: env.now().after_ms(env.config.retrieval_deadline_ms),
            stall_ms: env.config.stall_ms,
        })
    }
}

impl Completion {
    fn question(&self) -> Option<&str> {
        self.messages.iter().rfind(|m| m.role == Role::User).map(|m| m.content.as_str())
    }

    /// The client's system messages join the persona; its last message is the question.
    fn prompt(&self, config: &Config, mut persona: Persona, lang: Lang) -> Result<Prompt, Failure> {
        if !self.knowledge {
            return Ok(Prompt::Bare(self.messages.clone()));
        }
        let (system, mut talk): (Vec<_>, Vec<_>) = self.messages.iter().cloned().partition(|m| m.role == Role::System);
        for message in system {
            persona.instructions = format!("{} {}", persona.instructions, message.content);
        }
        let question = talk.pop().map(|m| m.content).unwrap_or_default();
        Ok(Prompt::Grounded(ground(config, persona, lang, talk, question, "messages")?))
    }
}

fn ground(
    config: &Config,
    persona: Persona,
    lang: Lang,
    history: Vec<ChatMessage>,
    question: String,
    field: &str,
) -> Result<Grounded, Failure> {
    let grounded = Grounded { persona, lang, history, question, budget: config.prompt_tokens };
    let (needs, room) = (estimate(&grounded.question), grounded.room());
    if needs > room {
        let message = format!("the message takes about {needs} tokens, and at most {room} fit; shorten it");
        return Err(Failure { param: Some(field.into()), ..Failure::new(ErrorCode::ContextLengthExceeded, message) });
    }
    Ok(grounded)
}

fn language(text: &str, view: &SessionView, persona: &Persona) -> Lang {
    lang::detect(text, view.lang.as_ref(), persona.default_lang.as_ref())
}

/// What the client asks for; else the assistant's own values, or for the bare model those of its own distribution.
fn sampling(env: &Env, completion: Option<&Completion>) -> Sampling {
    let asked = completion.map(|c| c.sampling.clone()).unwrap_or_default();
    let is_bare = completion.is_some_and(|c| !c.knowledge);
    let (temperature, top_p) = if is_bare { (1.0, 1.0) } else { (TEMPERATURE, TOP_P) };
    Sampling {
        max_tokens: asked.max_tokens.unwrap_or(env.config.answer_tokens),
        temperature: asked.temperature.unwrap_or(temperature),
        top_p: asked.top_p.unwrap_or(top_p),
        seed: asked.seed.unwrap_or_else(|| env.context.random.seed()),
        stop: asked.stop,
    }
}

fn check_text(field: &str, text: &str, most: usize) -> Result<(), Failure> {
    if text.trim().is_empty() {
        return Err(Failure::invalid(field, "the message is empty; write something"));
    }
    if text.len() > most {
        let message = format!("the message has {} bytes, and at most {most} are accepted; shorten it", text.len());
        return Err(Failure { param: Some(field.into()), ..Failure::new(ErrorCode::PayloadTooLarge, message) });
    }
    Ok(())
}

fn check_completion(completion: &Completion, config: &Config) -> Result<(), Failure> {
    if completion.sampling.max_tokens == Some(0) {
        return Err(Failure::invalid("max_tokens", "max_tokens must be at least 1"));
    }
    match completion.messages.last() {
        None => Err(Failure::invalid("messages", "messages is empty; send at least one")),
        Some(last) if completion.knowledge && last.role != Role::User => {
            Err(Failure::invalid("messages", "the last message must have the role \"user\""))
        }
        Some(last) if completion.knowledge => check_text("messages", &last.content, config.message_bytes),
        Some(_) => Ok(()),
    }
}

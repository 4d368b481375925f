//! What customers ask for: checks at the door, and the turn's specification.

use crate::{
    Completion, Config, Persona, Profile, SessionView, apology,
    conversation::Before,
    courtesy,
    env::Env,
    lang,
    prompt::{Grounded, Prompt, estimate},
    turn::{Fallback, Knowledge, Patience, Spec},
    without_model::Heard,
};
use protocol::{ChatMessage, ErrorCode, Failure, Format, JobId, Lang, Role, Sampling, Submit, TenantId, Timestamp};

/// The assistant's temperature: close to the passages, without the loops of a greedy small model.
const TEMPERATURE: f32 = 0.2;
const TOP_P: f32 = 0.9;

/// What a turn answers.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// A message in a session.
    Message(Submit),
    /// A stateless call.
    Completion(Box<Completion>),
}

impl Ask {
    /// Refuses what no session could answer; the failure names the field.
    pub fn check(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Ask::Message(submit) => check_text("content", &submit.content, config.message_bytes)?,
            Ask::Completion(completion) => check_completion(completion, config)?,
        }
        match self.deadline_ms() {
            Some(0) => Err(Failure::invalid("deadline_ms", "the deadline must be at least 1 ms")),
            _ => Ok(()),
        }
    }

    /// After how many milliseconds the answer is of no use to the client, if it says so.
    fn deadline_ms(&self) -> Option<u64> {
        match self {
            Ask::Message(submit) => submit.deadline_ms,
            Ask::Completion(completion) => completion.deadline_ms,
        }
    }

    /// Whether others may answer than the model: not where a client wants the model itself, or another format than text.
    fn is_of_assistant(&self) -> bool {
        match self {
            Ask::Message(_) => true,
            Ask::Completion(completion) => completion.knowledge && completion.sampling.format == Format::Text,
        }
    }

    /// What is said without the model; else the client is told of the failure.
    fn fallback(&self, config: &Config, lang: &Lang) -> Option<Fallback> {
        let fallback = || Fallback { faq_confidence: config.faq_fallback_confidence, apology: apology::of(lang) };
        self.is_of_assistant().then(fallback)
    }

    fn before<'a>(&'a self, view: &'a SessionView) -> Before<'a> {
        match self {
            Ask::Message(_) => Before::session(view),
            Ask::Completion(completion) => Before::messages(&completion.messages),
        }
    }

    /// The customer's message, or the last one of a conversation.
    fn question(&self) -> &str {
        match self {
            Ask::Message(submit) => &submit.content,
            Ask::Completion(completion) => completion.question().unwrap_or_default(),
        }
    }

    /// Refuses what could not be answered by the client's deadline, and what the prompt has no room for; the failure names
    /// the field.
    pub fn fits(&self, env: &Env, tenant: &TenantId, view: &SessionView) -> Result<(), Failure> {
        self.reaches(env, tenant)?;
        let persona = env.profile(tenant).persona;
        let lang = self.lang(view, &persona);
        let Prompt::Grounded(grounded) = self.prompt(&env.config, persona, lang, Vec::new) else { return Ok(()) };
        let (needs, room) = (estimate(&grounded.question), grounded.room());
        if needs <= room {
            return Ok(());
        }
        let field = if matches!(self, Ask::Message(_)) { "content" } else { "messages" };
        let message = format!("the message takes about {needs} tokens, and at most {room} fit; shorten it");
        Err(Failure { param: Some(field.into()), ..Failure::new(ErrorCode::ContextLengthExceeded, message) })
    }

    /// Refuses what would still wait for the model at its deadline, judged by the tenant's last jobs. A customer's message
    /// without a deadline of its own has a degraded answer by then.
    fn reaches(&self, env: &Env, tenant: &TenantId) -> Result<(), Failure> {
        let is_bare = matches!(self, Ask::Completion(completion) if !completion.knowledge);
        let Some(limit) = self.deadline_ms().or(is_bare.then_some(env.config.turn_deadline_ms)) else { return Ok(()) };
        let wait = env.gate.expected_wait_ms(tenant);
        if wait < limit {
            return Ok(());
        }
        let message =
            format!("jobs wait {wait} ms for the model now, and the deadline is {limit} ms; try again shortly");
        Err(Failure::new(ErrorCode::Overloaded, message))
    }

    /// The turn that answers it, accepted at `accepted`.
    pub fn spec(&self, env: &Env, tenant: &TenantId, view: &SessionView, job: JobId, accepted: Timestamp) -> Spec {
        let (profile, before) = (env.profile(tenant), self.before(view));
        let (lang, config) = (self.lang(view, &profile.persona), &env.config);
        let heard = Heard { message: self.question(), lang: &lang, before: &before };
        let heard = self.is_of_assistant().then_some(heard);
        let reply = heard.as_ref().and_then(|heard| heard.reply(&profile));
        let policy = heard.map(|heard| heard.policy(config, &profile)).unwrap_or_default();
        let Profile { persona, weight, .. } = profile;
        let prompt = self.prompt(config, persona, lang.clone(), || view.chat());
        let (is_known, completion) = match self {
            Ask::Message(_) => (true, None),
            Ask::Completion(completion) => (completion.knowledge, Some(completion)),
        };
        let knowledge =
            || Knowledge { query: self.question().to_string(), context: before.context(), top_k: config.passages };
        Spec {
            job,
            patience: Patience {
                queue_wait_ms: config.breaker_queue_wait_ms,
                first_token_ms: config.breaker_first_token_ms,
                give_up_ms: config.first_token_deadline_ms,
            },
            fallback: self.fallback(config, &lang),
            reply,
            policy,
            checks_markers: self.is_of_assistant(),
            lang,
            recalls: false,
            knowledge: is_known.then(knowledge),
            prompt,
            sampling: sampling(env, completion.map(Box::as_ref)),
            tools: completion.map(|c| c.tools.clone()).unwrap_or_default(),
            // Nobody sees the assistant think, so nobody should have to wait for it.
            thinking: completion.and_then(|c| c.thinking).or(is_known.then_some(false)),
            shows_asides: completion.is_some(),
            deadline: accepted.after_ms(config.turn_deadline_ms.min(self.deadline_ms().unwrap_or(u64::MAX))),
            retrieval_deadline: env.now().after_ms(config.retrieval_deadline_ms),
            stall_ms: config.stall_ms,
            priority: completion.map(|completion| completion.priority).unwrap_or_default(),
            weight,
            worker: None,
            run: 0,
        }
    }

    fn lang(&self, view: &SessionView, persona: &Persona) -> Lang {
        match self {
            Ask::Message(Submit { lang: Some(lang), .. }) => lang.clone(),
            _ => {
                let likely = lang::detect(self.question(), view.lang.as_ref(), persona.default_lang.as_ref());
                let courtesy = courtesy::recognise(self.question());
                courtesy.map_or_else(|| likely.clone(), |courtesy| courtesy.lang(likely.clone()))
            }
        }
    }

    fn prompt(
        &self,
        config: &Config,
        persona: Persona,
        lang: Lang,
        history: impl FnOnce() -> Vec<ChatMessage>,
    ) -> Prompt {
        match self {
            Ask::Message(submit) => {
                let (history, question, budget) = (history(), submit.content.clone(), config.prompt_tokens);
                Prompt::Grounded(Grounded { persona, lang, history, question, budget })
            }
            Ask::Completion(completion) => completion.prompt(config, persona, lang),
        }
    }
}

impl Completion {
    fn question(&self) -> Option<&str> {
        self.messages.iter().rfind(|m| m.role == Role::User).map(|m| m.content.as_str())
    }

    /// The client's system messages join the persona; its last message is the question.
    fn prompt(&self, config: &Config, mut persona: Persona, lang: Lang) -> Prompt {
        if !self.knowledge {
            return Prompt::Bare(self.messages.clone());
        }
        let (system, mut history): (Vec<_>, Vec<_>) =
            self.messages.iter().cloned().partition(|m| m.role == Role::System);
        for message in system {
            persona.instructions = format!("{} {}", persona.instructions, message.content);
        }
        let question = history.pop().map(|m| m.content).unwrap_or_default();
        Prompt::Grounded(Grounded { persona, lang, history, question, budget: config.prompt_tokens })
    }
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
        top_k: asked.top_k.unwrap_or_default(),
        min_p: asked.min_p.unwrap_or_default(),
        repetition_penalty: asked.repetition_penalty.unwrap_or(1.0),
        presence_penalty: asked.presence_penalty.unwrap_or_default(),
        frequency_penalty: asked.frequency_penalty.unwrap_or_default(),
        logit_bias: asked.logit_bias,
        seed: asked.seed.unwrap_or_else(|| env.context.random.seed()),
        stop: asked.stop,
        ignore_eos: asked.ignore_eos,
        logprobs: asked.logprobs,
        format: asked.format,
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
    let most = config.max_answer_tokens;
    if let Some(asked) = completion.sampling.max_tokens.filter(|asked| *asked > most) {
        let message = format!("max_tokens is {asked}, and at most {most} are generated; ask for fewer");
        return Err(Failure::invalid("max_tokens", message));
    }
    if completion.knowledge && !completion.tools.is_empty() {
        return Err(Failure::invalid("tools", "the assistant calls no tools; name the model itself"));
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

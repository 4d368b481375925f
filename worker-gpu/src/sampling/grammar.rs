//! Answers that must be JSON: which tokens may follow, by llguidance's Earley parser over the model's own vocabulary.
//!
//! The vocabulary's trie and the masks of common strings are made once per model ([`Grammars`]); a schema is compiled per
//! request. Both compiling and each mask have a budget (`limits`), so that no schema stalls the batch: on one core of 2020
//! llguidance names 50,000 units per ms for compiling and 14,000 for a mask.

use super::calls::Demanded;
use crate::text::Tokens;
use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
    earley::SlicedBiasComputer,
    toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie},
};
use protocol::{ErrorCode, Failure, Format};
use serde_json::{Value, json};
use std::sync::Arc;

/// Bytes of the largest schema, written without spaces.
const SCHEMA_BYTES: usize = 64 << 10;
/// What stands between two parts of the JSON: one space, or a new line with its indentation. Without a bound a model may
/// write nothing else until the answer's end.
const SPACE: &str = r"\x20|\x0A[\x20\x09]{0,32}";
/// Bytes of the longest token that a mask may hold; the trie has room for no more.
const TOKEN_BYTES: usize = 1000;
/// Begins what llguidance takes for a special token; no text holds this byte.
const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
/// Characters of a reason that are told.
const REASON: usize = 300;
const JSON_SCHEMA: &str = "response_format.json_schema";

/// Compiles grammars for one model's vocabulary.
pub(crate) struct Grammars(ParserFactory);

/// What one answer must look like, and how far it has come.
pub(crate) struct Grammar {
    matcher: Matcher,
    environment: TokEnv,
    /// Whether the answer so far ends in a digit, so that more may follow.
    ends_in_digit: bool,
}

impl Grammars {
    /// The error is a sentence for an operator.
    pub fn new(tokens: &Tokens) -> Result<Self, String> {
        let words: Vec<Vec<u8>> = (0..tokens.pieces.len() as u32).map(|token| word(tokens.pieces.of(token))).collect();
        let ends: Vec<u32> = tokens.ends().filter(|end| (*end as usize) < words.len()).collect();
        let first = *ends.first().ok_or("no token of the vocabulary ends an answer")?;
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first), &words).with_eos_tokens(&ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::json_slices();
        let factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices);
        let mut factory = factory.map_err(|error| error.to_string())?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self(factory))
    }

    /// The grammar of answers in `format` that have begun with `answer`; none for text.
    pub fn compile(&self, format: &Format, answer: &[u32]) -> Result<Option<Grammar>, Failure> {
        let schema = match format {
            Format::Text => return Ok(None),
            Format::JsonObject => json!({"type": "object"}),
            Format::JsonSchema { schema } => schema.clone(),
        };
        let grammar = TopLevelGrammar::from_json_schema(compact(schema)?);
        self.follow(grammar, answer, JSON_SCHEMA).map(Some)
    }

    /// The grammar of one call, of which `answer` is the beginning.
    pub fn calls(&self, call: &Demanded, answer: &[u32]) -> Result<Grammar, Failure> {
        self.follow(TopLevelGrammar::from_lark(call.lark(SPACE)?), answer, "tools")
    }

    fn follow(&self, grammar: TopLevelGrammar, answer: &[u32], param: &str) -> Result<Grammar, Failure> {
        let parser = self.0.create_parser(grammar);
        let parser = parser.map_err(|error| refused(param, &error.to_string()))?;
        let environment = self.0.tok_env().clone();
        let mut grammar = Grammar { matcher: Matcher::new(Ok(parser)), environment, ends_in_digit: false };
        for token in answer {
            grammar
                .accept(*token)
                .map_err(|_| Failure::invalid("prefix", format!("prefix does not fit to {param}")))?;
        }
        Ok(grammar)
    }
}

impl Grammar {
    /// Forbids every token that cannot follow.
    pub fn restrict(&mut self, logits: &mut [f32]) -> Result<(), Failure> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|error| too_complex(&error.to_string()))?;
        let known = mask.len().min(logits.len());
        mask.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        // Models compute more logits than there are tokens.
        logits[known..].fill(f32::NEG_INFINITY);
        Ok(())
    }

    /// The answer goes on with `token`.
    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        let last = self.environment.tok_trie().token(token).last();
        self.ends_in_digit = last.is_some_and(u8::is_ascii_digit);
        self.matcher.consume_token(token).map_err(|error| too_complex(&error.to_string()))
    }

    /// Whether the JSON is complete, so that nothing but space could follow.
    pub fn is_complete(&mut self) -> bool {
        self.matcher.is_stopped() || (!self.ends_in_digit && self.matcher.is_accepting().unwrap_or(true))
    }
}

fn word(piece: &[u8]) -> Vec<u8> {
    let is_text = piece.len() <= TOKEN_BYTES && piece.first() != Some(&MARKER);
    if is_text { piece.to_vec() } else { Vec::new() }
}

/// Schema and masks are bounded so that the batch waits for a few tens of milliseconds at the worst.
fn limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 500_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 50_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// The schema with our own rules for space, whatever it says itself.
fn compact(schema: Value) -> Result<Value, Failure> {
    let Value::Object(mut schema) = schema else {
        return Err(Failure::invalid(JSON_SCHEMA, format!("{JSON_SCHEMA}.schema must be an object")));
    };
    schema.insert("x-guidance".into(), json!({"whitespace_pattern": SPACE}));
    let schema = Value::Object(schema);
    if schema.to_string().len() > SCHEMA_BYTES {
        let message = format!("{JSON_SCHEMA}.schema has more than {SCHEMA_BYTES} bytes; make it smaller");
        return Err(Failure::invalid(JSON_SCHEMA, message));
    }
    Ok(schema)
}

/// A schema that means nothing, or asks for what cannot be kept to.
fn refused(param: &str, why: &str) -> Failure {
    let why: String = why.lines().next().unwrap_or_default().chars().take(REASON).collect();
    Failure::invalid(param, format!("{param}, the schema: {why}"))
}

fn too_complex(why: &str) -> Failure {
    let why: String = why.lines().next().unwrap_or_default().chars().take(REASON).collect();
    tracing::debug!(why, "an answer cannot be kept in its format");
    let message = "the answer could not be kept in response_format; a simpler schema may help";
    Failure { param: Some(JSON_SCHEMA.into()), ..Failure::new(ErrorCode::EngineFailed, message) }
}

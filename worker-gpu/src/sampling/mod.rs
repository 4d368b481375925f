//! From logits to the next token.
//!
//! The order of what bends the model's distribution is vLLM's (`vllm/v1/sample/sampler.py`), so that the same request
//! means the same to both:
//!
//! 1. logprobs are read off the model's own logits, before anything bends them;
//! 2. `logit_bias` is added;
//! 3. the repetition, then the frequency and presence penalties, over the tokens so far ([`penalties`]);
//! 4. the grammar's mask ([`grammar`]), which leaves only tokens that continue what `format` asks for;
//! 5. temperature; 0 takes the greatest logit here and ends;
//! 6. `top_k`, then `top_p`, then `min_p`, each over what the one before left ([`choose`]); vLLM puts `min_p` first, which
//!    differs only beside `top_p`;
//! 7. a draw by seed and position in the answer.
//!
//! All of it is pure: the same seed, history and logits give the same token, whatever else is in the batch. An answer that
//! another worker continues counts its `prefix` as its own beginning, in position, penalties and grammar alike.

pub(crate) mod calls;
mod check;
mod choose;
mod grammar;
mod logprobs;
mod penalties;
mod sampler;

pub(crate) use check::check;
pub(crate) use grammar::{Grammar, Grammars};
pub(crate) use logprobs::Likelihood;
pub(crate) use sampler::{Picked, Sampler};

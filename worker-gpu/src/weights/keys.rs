//! Reads JSON objects key by key.

use super::WeightsProblem;
use serde_json::Value;

/// An object of `config.json`, or one within it.
pub(super) struct Keys<'a> {
    value: &'a Value,
    /// Where it is, ending in a dot; empty at the top.
    at: String,
}

impl<'a> Keys<'a> {
    pub fn new(value: &'a Value) -> Self {
        Self { value, at: String::new() }
    }

    /// The object at `key`, if there is one.
    pub fn section(&self, key: &str) -> Option<Keys<'a>> {
        let value = self.value.get(key).filter(|value| value.is_object())?;
        Some(Self { value, at: format!("{}{key}.", self.at) })
    }

    /// The first of `keys` that is there and not null.
    fn first<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, &'a Value)> {
        keys.iter().find_map(|key| Some((*key, self.value.get(key).filter(|value| !value.is_null())?)))
    }

    pub fn wrong(&self, key: &str, problem: impl Into<String>) -> WeightsProblem {
        WeightsProblem::key(&format!("{}{key}", self.at), problem)
    }

    pub fn size(&self, key: &str) -> Result<usize, WeightsProblem> {
        self.optional_size(key)?.ok_or_else(|| self.wrong(key, "missing"))
    }

    pub fn optional_size(&self, key: &str) -> Result<Option<usize>, WeightsProblem> {
        let Some((_, value)) = self.first(&[key]) else { return Ok(None) };
        let size =
            value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=1 << 24).contains(size));
        size.map(Some).ok_or_else(|| self.wrong(key, format!("{value}; expected a number from 1 to 2^24")))
    }

    /// A positive number.
    pub fn number(&self, key: &str) -> Result<Option<f64>, WeightsProblem> {
        let Some((_, value)) = self.first(&[key]) else { return Ok(None) };
        let number = value.as_f64().filter(|number| *number > 0.0 && number.is_finite());
        number.map(Some).ok_or_else(|| self.wrong(key, format!("{value}; expected a positive number")))
    }

    pub fn required_number(&self, key: &str) -> Result<f64, WeightsProblem> {
        self.number(key)?.ok_or_else(|| self.wrong(key, "missing"))
    }

    /// A whole number, possibly negative.
    pub fn integer(&self, keys: &[&str]) -> Result<Option<i64>, WeightsProblem> {
        let Some((key, value)) = self.first(keys) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.wrong(key, format!("{value}; expected a whole number")))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, WeightsProblem> {
        let Some((_, value)) = self.first(&[key]) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, format!("{value}; expected true or false")))
    }

    pub fn text(&self, keys: &[&str]) -> Result<Option<&'a str>, WeightsProblem> {
        let Some((key, value)) = self.first(keys) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, format!("{value}; expected a text")))
    }

    /// The texts of a list.
    pub fn texts(&self, key: &str) -> Vec<&'a str> {
        let list = self.value.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

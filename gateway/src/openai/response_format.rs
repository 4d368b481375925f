//! `response_format`: what the answer must look like.

use super::parameters::unsupported;
use protocol::{Failure, Format};
use serde_json::{Map, Value};

const PARAM: &str = "response_format";
const SCHEMA: &str = "response_format.json_schema";
const NAME_BYTES: usize = 64;

/// The format that is asked for; whether a schema can be kept to is for the engine to say.
pub(super) fn read(value: Option<Value>) -> Result<Format, Failure> {
    let Some(Value::Object(mut format)) = value else {
        return match value {
            None | Some(Value::Null) => Ok(Format::Text),
            Some(_) => Err(Failure::invalid(PARAM, "response_format: expected an object with a type")),
        };
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => only(&format, &[]).map(|()| Format::Text),
        Some("json_object") => only(&format, &[]).map(|()| Format::JsonObject),
        Some("json_schema") => {
            only(&format, &["json_schema"])?;
            schema(format.remove("json_schema")).map(|schema| Format::JsonSchema { schema })
        }
        Some(_) => {
            Err(unsupported("response_format.type", "only \"text\", \"json_object\" and \"json_schema\" are supported"))
        }
        None => Err(Failure::invalid("response_format.type", "response_format.type is missing")),
    }
}

fn only(format: &Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    match format.keys().find(|key| *key != "type" && !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(unsupported(&format!("{PARAM}.{key}"), "this part of the format is not supported")),
    }
}

/// An answer keeps to its schema whether or not `strict` asks for it.
fn schema(value: Option<Value>) -> Result<Value, Failure> {
    let Some(Value::Object(mut given)) = value else {
        return Err(Failure::invalid(SCHEMA, format!("{SCHEMA}: expected an object with a name and a schema")));
    };
    let is_sound = |name: &str| {
        (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if !given.get("name").and_then(Value::as_str).is_some_and(is_sound) {
        let param = format!("{SCHEMA}.name");
        let message = format!("{param}: expected 1 to {NAME_BYTES} letters, digits, underscores or dashes");
        return Err(Failure::invalid(&param, message));
    }
    match given.remove("schema") {
        Some(schema @ Value::Object(_)) => Ok(schema),
        _ => Err(Failure::invalid(&format!("{SCHEMA}.schema"), format!("{SCHEMA}.schema: expected a JSON schema"))),
    }
}

//! What RabbitMQ tells of a message beside its body.

use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use protocol::topology::is_own;
use serde_json::{Map, Value};

/// How often the message was delivered before. RabbitMQ 4 also counts deliveries that did not fail, and a new attempt
/// must have a new number.
pub(super) fn attempt(message: &Delivery) -> u32 {
    let headers = message.properties.headers().as_ref();
    let count = |key| headers.and_then(|headers| get(headers, key)).and_then(whole).unwrap_or(0);
    let here = count("x-delivery-count").max(count("x-acquired-count")).max(message.redelivered.into());
    let here = u32::try_from(here).unwrap_or(u32::MAX);
    here.saturating_add(headers.map_or(0, failures_elsewhere))
}

/// Deliveries that failed in workers' own queues. A job that left one for another reason was not begun there.
fn failures_elsewhere(headers: &FieldTable) -> u32 {
    let failed = |death: &FieldTable| {
        word(death, "queue").is_some_and(is_own) && word(death, "reason") == Some("delivery_limit")
    };
    let counts = deaths(headers).filter(|death| failed(death)).filter_map(|death| get(death, "count").and_then(whole));
    counts.filter_map(|count| u32::try_from(count).ok()).sum()
}

/// Where and why a message was dead-lettered, the last time first.
pub(super) fn deaths(headers: &FieldTable) -> impl Iterator<Item = &FieldTable> {
    let deaths = match get(headers, "x-death") {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
        _ => &[],
    };
    deaths.iter().filter_map(AMQPValue::as_field_table)
}

pub(super) fn get<'a>(table: &'a FieldTable, key: &str) -> Option<&'a AMQPValue> {
    table.inner().get(key)
}

/// A text that is a header.
pub(super) fn word<'a>(table: &'a FieldTable, key: &str) -> Option<&'a str> {
    std::str::from_utf8(get(table, key)?.as_long_string()?.as_bytes()).ok()
}

/// A header that is a whole number or a time in seconds.
pub(super) fn whole(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::ShortShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortShortUInt(n) => Some((*n).into()),
        AMQPValue::ShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortUInt(n) => Some((*n).into()),
        AMQPValue::LongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some((*n).into()),
        AMQPValue::LongLongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::Timestamp(seconds) => Some(*seconds),
        _ => None,
    }
}

/// All of them, to be shown.
pub(super) fn json(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(key, value)| (key.to_string(), json_value(value))).collect()
}

fn json_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::ShortString(text) => text.to_string().into(),
        AMQPValue::Boolean(is) => (*is).into(),
        AMQPValue::Float(n) => (*n).into(),
        AMQPValue::Double(n) => (*n).into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json_value).collect(),
        AMQPValue::FieldTable(table) => json(table).into(),
        AMQPValue::Void => Value::Null,
        other => whole(other).map_or_else(|| format!("{other:?}").into(), Value::from),
    }
}

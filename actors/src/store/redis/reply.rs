//! What the claim script answers, read.

use crate::store::{Claim, Member, Record, Shown, StoreError, Version};
use bytes::Bytes;
use protocol::JobId;
use redis::{FromRedisValue, Value};
use std::collections::BTreeMap;

type Owned = (u64, u64, Vec<u8>, Vec<(String, Vec<u8>)>, Vec<Vec<u8>>);

pub(super) fn claim(by: &Member, answer: Value) -> Result<Option<Claim>, StoreError> {
    match answer {
        Value::Nil => Ok(None),
        Value::Array(held) if held.len() == 1 => {
            let (owner,): (String,) = read(Value::Array(held))?;
            let owner = Member::parse(&owner).ok_or_else(|| unreadable("an owner"))?;
            Ok(Some(Claim::Held(owner)))
        }
        owned => Ok(Some(Claim::Owned(record(by, read(owned)?)?))),
    }
}

fn record(by: &Member, (epoch, write, state, open, shown): Owned) -> Result<Record, StoreError> {
    let turn = |text: String| JobId::parse(text).map_err(|_| unreadable("a turn"));
    let open = open.into_iter().map(|(job, message)| Ok((turn(job)?, Bytes::from(message))));
    let open = open.collect::<Result<BTreeMap<_, _>, StoreError>>()?;
    let mut shown = shown.into_iter();
    let shown = match shown.next() {
        Some(job) => {
            let job = turn(String::from_utf8(job).unwrap_or_default())?;
            Some(Shown { turn: job, events: shown.map(Bytes::from).collect() })
        }
        None => None,
    };
    let version = Version { epoch, write };
    Ok(Record { version, owner: Some(by.clone()), state: state.into(), open, shown })
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value).map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} in Redis cannot be read by this version"))
}

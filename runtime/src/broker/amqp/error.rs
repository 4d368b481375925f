//! What lapin's errors mean to a user.

use crate::BrokerError;
use lapin::{Error, ErrorKind, types::ShortString};

/// Reply codes of AMQP 0-9-1, chapter 1.2.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;
pub(super) const NOT_ALLOWED: u16 = 530;

/// The reply code that the broker gave, if it was the broker's error.
pub(super) fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// An error that concerns no queue in particular.
pub(super) fn broken(error: Error) -> BrokerError {
    BrokerError::Unavailable(error.to_string())
}

/// What an error on `queue` (or exchange) means.
pub(super) fn of_queue(queue: &str, error: &Error) -> BrokerError {
    match code(error) {
        Some(NOT_FOUND) => BrokerError::Unroutable(queue.into()),
        Some(PRECONDITION_FAILED) => BrokerError::Misconfigured(format!(
            "{queue} exists with other arguments ({error}): finish or drop its messages, delete it and start again"
        )),
        Some(ACCESS_REFUSED) => BrokerError::Misconfigured(format!(
            "{queue} is refused ({error}): the user needs the permissions configure, write and read on it"
        )),
        Some(RESOURCE_LOCKED) => BrokerError::Unavailable(format!("{queue} belongs to another connection")),
        _ => BrokerError::Unavailable(error.to_string()),
    }
}

/// A queue's or exchange's name; AMQP allows 255 bytes, so a longer one cannot exist.
pub(super) fn name(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|_| BrokerError::Unroutable(text.chars().take(64).collect()))
}

//! What may be told of JSON that cannot be read.

use serde_json::Error;

/// Kind and place of the error. Its own text is never told: it may quote a message.
pub(crate) fn place(error: &Error) -> String {
    format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_quotes_nothing() {
        let error = serde_json::from_str::<u32>("\n\"my password is 1234\"").unwrap_err();
        assert!(error.to_string().contains("1234"));
        assert_eq!(place(&error), "Data error at line 2, column 21");
    }
}

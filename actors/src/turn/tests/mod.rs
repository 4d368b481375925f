#![expect(clippy::unwrap_used, reason = "tests")]

mod cases;
mod properties;

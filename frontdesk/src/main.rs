//! Frontdesk: the whole system in one binary, one subcommand per role.
fn main() {}

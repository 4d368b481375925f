//! Frontdesk: the whole system in one binary, one subcommand per role.

use clap::Parser;
use frontdesk::{cli::Cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frontdesk: {}", describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, without those that an outer one has quoted.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said {
        said if said.is_empty() => cause,
        said if said.contains(&cause) => said,
        said => format!("{said}: {cause}"),
    })
}

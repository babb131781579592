//! The command line: arguments in, exit code out.
//!
//! Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 78 the configuration is wrong
//! (`EX_CONFIG` of `sysexits.h`).

pub mod check;
pub mod explain_code;
pub mod routes;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "httpserverd",
    version,
    about = "An HTTP server and reverse proxy run by one TOML file",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Does what the arguments (the name of the program first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command: _ }) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads what cannot be printed.
            drop(error.print());
            if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

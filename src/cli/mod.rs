//! The command line: arguments in, exit code out.

mod ask;
pub mod check;
mod configuration;
pub mod explain_code;
mod reference;
pub mod routes;
mod run;
mod serve;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Environment, Inputs};
use crate::daemon::Configuration;

#[derive(Debug, Parser)]
#[command(
    name = "httpserverd",
    version,
    about = "An HTTP server and reverse proxy run by one TOML file",
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(flatten)]
    run: run::RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon; what `httpserverd --config FILE` does, too
    Run(run::RunArguments),
    /// Report every mistake in a configuration
    Check(CheckArguments),
    /// Print which route answers which requests
    Routes {
        /// The configuration, unless the environment says it
        file: Option<PathBuf>,
    },
    /// Have a running daemon read its configuration again, and wait until it is served
    #[command(after_help = RELOAD_HELP)]
    Reload(ask::AskArguments),
    /// Print how a running daemon stands
    Status(ask::StatusArguments),
    /// Have a running daemon replaced by this program, without refusing anyone
    Upgrade(ask::AskArguments),
    /// Have a running daemon drain and end
    Stop(ask::AskArguments),
    /// Turn maintenance on or off in a running daemon
    #[command(after_help = MAINTENANCE_HELP)]
    Maintenance(ask::MaintenanceArguments),
    /// Serve a folder, with no configuration
    #[command(after_help = serve::AFTER_HELP)]
    Serve(serve::ServeArguments),
    /// Print every key of the configuration, as Markdown
    Reference,
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// The configuration, unless the environment says it
    file: Option<PathBuf>,
    /// How mistakes are written
    #[arg(long, value_enum, default_value_t)]
    format: check::Format,
    /// Print every value in effect, and where it was set
    #[arg(long)]
    effective: bool,
    /// Explain a code, like E0102
    #[arg(long, value_name = "CODE", exclusive = true)]
    explain: Option<String>,
}

const AFTER_HELP: &str = "\
Examples:
  httpserverd --config /etc/httpserver.toml
  httpserverd check /etc/httpserver.toml
  httpserverd serve . --port 8000

Environment:
  HTTPSERVER_CONFIG       the configuration, where no file is named
  HTTPSERVER_CONFIG_TEXT  what would stand in it, where there is none

Signals:
  TERM, INT  take nothing new, finish what is open, end; a second one ends at once
  HUP        read the configuration again; one with mistakes changes nothing
  USR1       open the log files again, after they were moved away
  USR2       start the program as it is on disk now, hand it the sockets, drain

Exit codes:
  0   ended as asked
  1   could not start or go on
  2   the command line is wrong
  78  the configuration is wrong";

const RELOAD_HELP: &str = "\
Exit codes:
  0   the new configuration is served by every worker
  1   the daemon cannot be reached, or cannot have what the configuration names
  78  the configuration is wrong; everything is as it was";

const MAINTENANCE_HELP: &str = "\
It stays so across reloads, until it is turned off or the daemon is started anew. A file that
switches it, and `on = true` in the configuration, keep it on as well.

Exit codes:
  0   it is done
  1   the daemon cannot be reached, or maintenance stays on for another reason
  2   there is no such middleware";

const COMPLETIONS_HELP: &str = "\
Examples:
  httpserverd completions bash > /usr/share/bash-completion/completions/httpserverd
  httpserverd completions zsh > ~/.zfunc/_httpserverd
  httpserverd completions fish > ~/.config/fish/completions/httpserverd.fish";

/// The command line is wrong, as clap has it.
const EXIT_USAGE: u8 = 2;

/// Does what the arguments (the name of the program first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(refuse(&error)),
    };
    let inputs = Inputs {
        environment: Environment::of_process(),
        command_line: Vec::new(),
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let done = match arguments.command {
        None => {
            drop((out, err));
            return run::run(arguments.run, inputs);
        }
        Some(Command::Run(arguments)) => {
            drop((out, err));
            return run::run(arguments, inputs);
        }
        Some(Command::Serve(arguments)) => {
            drop((out, err));
            return serve::serve(&arguments, inputs);
        }
        Some(Command::Check(arguments)) => arguments.check(&inputs, &mut out, &mut err),
        Some(Command::Reload(daemon)) => daemon.ask("reload", &mut out, &mut err),
        Some(Command::Upgrade(daemon)) => daemon.ask("upgrade", &mut out, &mut err),
        Some(Command::Stop(daemon)) => daemon.ask("stop", &mut out, &mut err),
        Some(Command::Maintenance(arguments)) => arguments.turn(&mut out, &mut err),
        Some(Command::Status(arguments)) => arguments.status(&mut out, &mut err),
        Some(Command::Routes { file }) => match configuration(file, &inputs) {
            Ok(configuration) => routes::routes(&configuration, &inputs, &mut out, &mut err),
            Err(code) => Ok(code),
        },
        Some(Command::Reference) => reference::print(&mut out),
        Some(Command::Completions { shell }) => completions(shell, &mut out),
    };
    match done.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        // The reader has heard enough: `httpserverd routes FILE | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "httpserverd: cannot print: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, or what was asked of it; the exit code.
fn refuse(error: &clap::Error) -> u8 {
    // Nobody reads what cannot be printed.
    drop(error.print());
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && Path::new(word).is_file()
    {
        drop(writeln!(
            io::stderr(),
            "\nTo run a file: httpserverd --config {word}"
        ));
    }
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

/// The configuration that a command means.
///
/// # Errors
/// The exit code, once it is said why there is none.
fn configuration(file: Option<PathBuf>, inputs: &Inputs) -> Result<Configuration, u8> {
    configuration::meant(file, &inputs.environment).map_err(|message| {
        refuse(&Arguments::command().error(ErrorKind::MissingRequiredArgument, message))
    })
}

impl CheckArguments {
    fn check(self, inputs: &Inputs, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
        if let Some(code) = &self.explain {
            return explain_code::explain(code, out, err);
        }
        let options = check::Options {
            format: self.format,
            effective: self.effective,
        };
        match configuration(self.file, inputs) {
            Ok(configuration) => check::check(&configuration, inputs, &options, out, err),
            Err(code) => Ok(code),
        }
    }
}

fn completions(shell: Shell, out: &mut impl Write) -> io::Result<u8> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "httpserverd", &mut script);
    out.write_all(&script)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_shell_gets_its_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completions(shell, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("effective"), "{shell}");
        }
    }
}

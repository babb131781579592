//! `httpserverd --config FILE`: runs the daemon.

use std::io::{self, IsTerminal, Write};
use std::path::{PathBuf, absolute};
use std::process::ExitCode;
use std::sync::Arc;

use super::check::write_report;
use super::routes;
use crate::config::{Inputs, Model, Setting};
use crate::daemon::{self, Configuration, Ended, OnReady, Options, Refusal};

#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// The configuration, unless the environment says it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go to the background, once everything is ready
    #[arg(long)]
    daemon: bool,
    /// Where to write the process id
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pid_file: Option<PathBuf>,
    /// Who to be once started as root: USER or USER:GROUP; low ports can still be listened on
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The group to be in, unless --user names one
    #[arg(long, value_name = "GROUP", requires = "user")]
    group: Option<String>,
    /// How many threads serve; outranks the file
    #[arg(short, long, value_name = "N")]
    workers: Option<String>,
    /// How much is logged: error, warn, info, debug or trace; outranks the file
    #[arg(short, long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Runs the daemon.
pub(super) fn run(arguments: RunArguments, mut inputs: Inputs) -> ExitCode {
    let mut configuration = match super::configuration(arguments.config, &inputs) {
        Ok(configuration) => configuration,
        Err(code) => return ExitCode::from(code),
    };
    let mut pid_file = arguments.pid_file;
    if arguments.daemon {
        // In the background, relative paths would start elsewhere.
        let whole = |path: PathBuf| absolute(&path).unwrap_or(path);
        pid_file = pid_file.map(whole);
        if let Configuration::File(file) = configuration {
            configuration = Configuration::File(whole(file));
        }
    }
    for (option, key, value) in [
        ("--workers", "server.workers", arguments.workers),
        ("--log-level", "log.level", arguments.log_level),
    ] {
        inputs.command_line.extend(value.map(|value| Setting {
            option: option.into(),
            key: key.into(),
            value,
        }));
    }
    let user = match (arguments.user, arguments.group) {
        (Some(user), Some(group)) if !user.contains(':') => Some(format!("{user}:{group}")),
        (user, _) => user,
    };
    run_daemon(Options {
        configuration,
        inputs,
        user,
        background: arguments.daemon,
        pid_file,
        on_ready: banner(),
    })
}

/// Runs a daemon, and says why if it cannot start.
pub(super) fn run_daemon(options: Options) -> ExitCode {
    let name = options.configuration.name();
    let refusal = match daemon::run(options) {
        Ended::Well => return ExitCode::SUCCESS,
        Ended::Failed => return ExitCode::FAILURE,
        Ended::Left(code) => return ExitCode::from(code),
        Ended::Refused(refusal) => refusal,
    };
    let mut err = io::stderr().lock();
    let printed = match &refusal {
        Refusal::Configuration(report) => write_report(&name, report, &mut err),
        Refusal::System(errors) => errors
            .iter()
            .try_for_each(|error| writeln!(err, "httpserverd: {error}")),
    };
    // Nobody reads what cannot be printed; the exit code says it too.
    drop(printed);
    ExitCode::from(refusal.exit_code())
}

/// What a person in front of a terminal sees once the daemon is ready.
pub(super) fn banner() -> Option<OnReady> {
    io::stdout().is_terminal().then(|| -> OnReady {
        Box::new(|model, addresses| {
            // Not worth ending for.
            drop(io::stdout().write_all(greeting(model, addresses).as_bytes()));
        })
    })
}

fn greeting(model: &Model, addresses: &[(Arc<str>, String)]) -> String {
    let mut text = concat!("\nhttpserverd ", env!("CARGO_PKG_VERSION"), "\n\n").to_owned();
    for (name, address) in addresses {
        let scheme = if address.starts_with("unix:") {
            ""
        } else {
            "http://"
        };
        text.extend(["  ", scheme, address, "  (", name, ")\n"]);
    }
    text.push('\n');
    for line in routes::table(model).lines() {
        text.extend(["  ", line, "\n"]);
    }
    text.push_str("\nCtrl-C drains and ends; pressed again, it ends at once.\n\n");
    text
}

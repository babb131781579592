//! `httpserverd serve DIR`: serves a folder, with no configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::run::{banner, run_daemon};
use crate::config::{Inputs, Setting};
use crate::daemon::{Configuration, Options};

#[derive(Debug, clap::Args)]
pub(super) struct ServeArguments {
    /// The folder
    #[arg(value_name = "DIR", env = "HTTP_STATIC_DIR")]
    folder: PathBuf,
    /// The address to listen on
    #[arg(short = 'H', long, env = "HTTP_HOST", default_value = "127.0.0.1")]
    #[arg(value_parser = host)]
    host: IpAddr,
    /// The port to listen on; 0 takes a free one
    #[arg(short, long, env = "HTTP_PORT", default_value_t = 8080)]
    port: u16,
    /// How many threads serve; one a core if not said
    #[arg(short, long, env = "HTTP_WORKERS", value_name = "N")]
    workers: Option<String>,
    /// Seconds that a client may take for a head, and between bytes of a body
    #[arg(long, env = "HTTP_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    /// How much is logged
    #[arg(short, long, env = "HTTP_LOG_LEVEL", value_enum, ignore_case = true)]
    #[arg(value_name = "LEVEL", default_value = "info")]
    log_level: Level,
    /// Let pages of every origin read the files
    #[arg(long)]
    cors: bool,
    /// List folders that have no index.html
    #[arg(long)]
    listing: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    #[value(alias = "critical")]
    Error,
    #[value(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

pub(super) const AFTER_HELP: &str = "\
The command line outranks the environment.

Beside the files, /health, /health/live and /health/ready are answered, for probes.";

/// The longest time a client can be given; more is a mistake.
const SECONDS_MAX: f64 = 86_400.0;

/// Serves a folder.
pub(super) fn serve(arguments: &ServeArguments, mut inputs: Inputs) -> ExitCode {
    inputs.command_line.extend(arguments.settings());
    run_daemon(Options {
        configuration: Configuration::Text {
            name: "httpserverd serve".into(),
            text: arguments.text(),
            // Relative folders start where the program was started.
            base: PathBuf::new(),
        },
        inputs,
        user: None,
        background: false,
        pid_file: None,
        on_ready: banner(),
    })
}

impl ServeArguments {
    /// What outranks everything, `HTTPSERVER_…` too.
    fn settings(&self) -> Vec<Setting> {
        let setting = |option: &str, key: &str, value: String| Setting {
            option: option.into(),
            key: key.into(),
            value,
        };
        let level = self.log_level.to_possible_value();
        let level = level.map_or_else(String::new, |level| level.get_name().into());
        let mut settings = vec![setting("--log-level", "log.level", level)];
        if let Some(workers) = &self.workers {
            settings.push(setting("--workers", "server.workers", workers.clone()));
        }
        if let Some(seconds) = self.timeout {
            let time = format!("{}ms", (seconds * 1000.0).round());
            for key in ["header_timeout", "body_idle_timeout"] {
                let key = format!("server.limits.{key}");
                settings.push(setting("--timeout", &key, time.clone()));
            }
        }
        settings
    }

    /// What would stand in the file.
    fn text(&self) -> String {
        let middleware = if self.cors {
            "middleware = [\"cors\"]\n"
        } else {
            ""
        };
        format!(
            "[[listener]]\n\
             name = \"web\"\n\
             bind = \"{bind}\"\n\
             [[route]]\n\
             path = \"/health\"\n\
             health = {{ kind = \"full\" }}\n\
             [[route]]\n\
             path = \"/health/live\"\n\
             health = {{ kind = \"liveness\" }}\n\
             [[route]]\n\
             path = \"/health/ready\"\n\
             health = {{ kind = \"readiness\" }}\n\
             [[route]]\n\
             path = \"/*\"\n\
             {middleware}\
             static = {{ root = {root}, listing = {listing} }}\n",
            bind = std::net::SocketAddr::new(self.host, self.port),
            root = quoted(&self.folder),
            listing = self.listing,
        )
    }
}

/// A path as a string of TOML in which no variable is substituted.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace("${", "$${");
    toml::Value::String(text).to_string()
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .map_err(|_| String::from("write an IP address: 127.0.0.1, 0.0.0.0, ::1"))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Ok(seconds),
        Ok(_) | Err(_) => Err(format!("write seconds, more than 0, at most {SECONDS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses() {
        assert_eq!(host("localhost"), host("127.0.0.1"));
        assert_eq!(host("[::1]"), host("::1"));
        assert!(host("example.com").is_err());
    }

    #[test]
    fn times_have_bounds() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "x", "100000"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn any_folder_can_be_served() {
        assert_eq!(quoted(Path::new("a$b${c}")), "\"a$b$${c}\"");
        assert_eq!(quoted(Path::new("a\"b")).matches('\\').count() % 2, 0);
    }
}

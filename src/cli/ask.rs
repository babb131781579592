//! `httpserverd reload`, `status`, `upgrade`, `stop`, `maintenance`: asks a daemon that runs.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

/// Where the packaged service has its socket.
const SOCKET: &str = "/run/httpserverd/control.sock";

/// The daemon cannot be reached, or says nothing.
const EXIT_FAILURE: u8 = 1;

/// Which daemon is asked.
#[derive(Debug, clap::Args)]
pub(super) struct AskArguments {
    /// The control socket of the daemon, as its `server.control_socket` has it
    #[arg(short, long, value_name = "PATH", default_value = SOCKET)]
    #[arg(env = "HTTPSERVER_SERVER__CONTROL_SOCKET")]
    socket: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    ask: AskArguments,
    /// One object of JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct MaintenanceArguments {
    /// What it shall be
    #[arg(value_enum)]
    switch: Switch,
    /// Which `maintenance` middleware; all if none is named
    name: Option<String>,
    #[command(flatten)]
    ask: AskArguments,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Switch {
    /// Answer 503 to everyone but those who are allowed
    On,
    /// Let everyone in again
    Off,
}

impl AskArguments {
    /// Asks, and says what came of it; the exit code.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn ask(
        &self,
        question: &str,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<u8> {
        let answer = match self.answer(question) {
            Ok(answer) => answer,
            Err(message) => {
                writeln!(err, "httpserverd: {message}")?;
                return Ok(EXIT_FAILURE);
            }
        };
        let code = code(&answer);
        let message = answer["message"].as_str().unwrap_or_default();
        let colour = io::stderr().is_terminal();
        let drawn = &answer[if colour { "coloured" } else { "drawn" }];
        match drawn.as_str() {
            Some(drawn) => writeln!(err, "{drawn}\n{message}")?,
            None if code == 0 => writeln!(out, "{message}")?,
            None => writeln!(err, "httpserverd: {message}")?,
        }
        Ok(code)
    }

    fn answer(&self, question: &str) -> Result<Value, String> {
        let path = self.socket.display();
        let mut stream = UnixStream::connect(&self.socket).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "; is it running? --socket names its `server.control_socket`"
                }
                io::ErrorKind::PermissionDenied => "; only its own user and root may ask it",
                _ => "",
            };
            format!("cannot reach the daemon at {path}: {error}{hint}")
        })?;
        let mut line = String::new();
        writeln!(stream, "{question}")
            .and_then(|()| BufReader::new(stream).read_line(&mut line))
            .map_err(|error| format!("cannot talk to the daemon at {path}: {error}"))?;
        serde_json::from_str(&line)
            .map_err(|_| format!("the daemon at {path} ended before it answered"))
    }
}

impl StatusArguments {
    /// Asks how things stand; the exit code.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn status(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
        let answer = match self.ask.answer("status") {
            Ok(answer) => answer,
            Err(message) => {
                writeln!(err, "httpserverd: {message}")?;
                return Ok(EXIT_FAILURE);
            }
        };
        if self.json {
            writeln!(out, "{}", answer["status"])?;
        } else {
            write!(out, "{}", table(&answer["status"]))?;
        }
        Ok(code(&answer))
    }
}

impl MaintenanceArguments {
    /// Turns maintenance on or off; the exit code.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn turn(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
        let switch = match self.switch {
            Switch::On => "on",
            Switch::Off => "off",
        };
        let question = match &self.name {
            Some(name) => format!("maintenance {switch} {name}"),
            None => format!("maintenance {switch}"),
        };
        self.ask.ask(&question, out, err)
    }
}

fn code(answer: &Value) -> u8 {
    let code = answer["code"].as_u64();
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(EXIT_FAILURE)
}

/// One line for each thing, for people.
fn table(status: &Value) -> String {
    let mut lines = String::new();
    let Some(status) = status.as_object() else {
        return lines;
    };
    for (key, value) in status {
        let key = key.replace('_', " ");
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Array(names) => {
                let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
                names.join(", ")
            }
            Value::Object(entries) => entries
                .iter()
                .map(|(name, value)| format!("{name} at {}", value.as_str().unwrap_or("?")))
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        lines.extend([format!("{key:22}{value}\n")]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_line_for_each_thing() {
        let status = json!({
            "phase": "serving", "reload_refused": null, "generation": 3,
            "listeners": { "web": "127.0.0.1:80", "local": "unix:/run/x" },
        });
        let lines = table(&status);
        assert!(lines.contains("phase                 serving\n"), "{lines}");
        assert!(lines.contains("generation            3\n"), "{lines}");
        assert!(lines.contains("web at 127.0.0.1:80"), "{lines}");
        assert!(!lines.contains("refused"), "{lines}");
    }

    #[test]
    fn who_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let asked = AskArguments {
            socket: folder.path().join("none"),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(asked.ask("reload", &mut out, &mut err).unwrap(), 1);
        let err = String::from_utf8(err).unwrap();
        assert!(err.contains("is it running"), "{err}");
        assert!(out.is_empty());
    }
}

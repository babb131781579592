//! Who is measured: httpserverd, the peers that are installed, and the floor.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cases::{BODY_FIXED, BODY_LARGE, Case, Face, Work};
use crate::process::Running;
use crate::{Outcome, probe, tls, wait};

/// The core of the server under measurement.
pub(crate) const SERVER_CORE: usize = 0;

/// From its start to the first answer, a server gets this long.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Httpserverd,
    Nginx,
    Haproxy,
    Caddy,
    Floor,
}

/// Every contender, in the order of the table.
pub(crate) const ALL: [Contender; 5] = [
    Contender::Httpserverd,
    Contender::Nginx,
    Contender::Haproxy,
    Contender::Caddy,
    Contender::Floor,
];

impl Contender {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Httpserverd => "httpserverd",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Floor => "bare epoll",
        }
    }

    /// What it says of its version; `None` if it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let argument = match self {
            Self::Httpserverd => "--version",
            Self::Nginx | Self::Haproxy => "-v",
            Self::Caddy => "version",
            Self::Floor => return Some("a loop in this bench".to_owned()),
        };
        let output = Command::new(self.program()?)
            .arg(argument)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        Some(text.lines().next().unwrap_or("unknown").trim().to_owned())
    }

    /// Whether it can do this at all.
    pub(crate) fn does(self, case: &Case) -> bool {
        match self {
            Self::Httpserverd => true,
            Self::Nginx | Self::Caddy => !matches!(case.work, Work::Eight),
            Self::Haproxy => matches!(case.work, Work::Fixed | Work::Proxy(_)),
            Self::Floor => {
                let plain = case.face == Face::Quiet;
                plain && matches!(case.work, Work::Fixed | Work::Proxy(0..=1024))
            }
        }
    }

    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Httpserverd => Some(PathBuf::from(env!("CARGO_BIN_EXE_httpserverd"))),
            Self::Floor => std::env::current_exe().ok(),
            Self::Nginx | Self::Haproxy | Self::Caddy => find(self.name()),
        }
    }

    fn command(self, stage: &Stage, ports: Ports) -> Outcome<Command> {
        let program = self.program().ok_or("not installed")?;
        let mut command = Command::new(program);
        let dir = &stage.dir;
        match self {
            Self::Httpserverd => {
                let conf = stage.write(
                    ports,
                    "httpserver.toml",
                    include_str!("conf/httpserver.toml"),
                )?;
                command.arg("--config").arg(conf);
            }
            Self::Nginx => {
                let locations = include_str!("conf/nginx.locations.conf");
                stage.write(ports, "nginx.locations.conf", locations)?;
                let conf = stage.write(ports, "nginx.conf", include_str!("conf/nginx.conf"))?;
                command
                    .arg("-p")
                    .arg(dir)
                    .arg("-e")
                    .arg(dir.join("nginx.error.log"));
                command.arg("-c").arg(conf);
            }
            Self::Haproxy => {
                let conf = stage.write(ports, "haproxy.cfg", include_str!("conf/haproxy.cfg"))?;
                command.arg("-db").arg("-f").arg(conf);
            }
            Self::Caddy => {
                let conf = stage.write(ports, "Caddyfile", include_str!("conf/Caddyfile"))?;
                command
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(conf);
                command.env("GOMAXPROCS", "1");
                command
                    .env("HOME", dir)
                    .env("XDG_DATA_HOME", dir)
                    .env("XDG_CONFIG_HOME", dir);
            }
            Self::Floor => {
                command.args([
                    "--floor",
                    &ports.quiet.to_string(),
                    &BODY_FIXED.len().to_string(),
                    &stage.small.to_string(),
                ]);
            }
        }
        Ok(command)
    }
}

/// Where a contender listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    quiet: u16,
    logged: u16,
    tls: u16,
}

impl Ports {
    /// The port without an access log.
    pub(crate) fn quiet(self) -> u16 {
        self.quiet
    }

    /// The port on which this case is measured.
    pub(crate) fn of(self, case: &Case) -> u16 {
        match case.face {
            Face::Quiet => self.quiet,
            Face::Logged => self.logged,
            Face::Tls => self.tls,
        }
    }

    /// The port that speaks TLS.
    pub(crate) fn tls(self) -> u16 {
        self.tls
    }
}

/// A contender that serves.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) contender: Contender,
    pub(crate) process: Running,
    pub(crate) ports: Ports,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
}

/// The files and upstreams that all contenders share.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Where their files are.
    pub(crate) dir: PathBuf,
    small: u16,
    large: u16,
    _upstreams: [Running; 2],
}

impl Stage {
    /// Writes the site into `dir` and starts the upstreams on the core of the load.
    pub(crate) fn set(dir: &Path, core: usize) -> Outcome<Self> {
        let site = dir.join("site");
        fs::create_dir(&site)?;
        for (name, length) in [("1k.txt", 1), ("100k.txt", 100), ("10m.txt", 10 * 1024)] {
            fs::write(site.join(name), "0123456789abcde\n".repeat(length * 64))?;
        }
        fs::write(site.join("20k.txt"), text(20 * 1024))?;
        tls::write_certificate(dir)?;
        let (small, large) = (free_port()?, free_port()?);
        let log = File::create(dir.join("upstream.log"))?;
        let start = |port: u16, body: usize| -> Outcome<Running> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--floor", &port.to_string(), &body.to_string()]);
            Running::start(core, &command, &log)
        };
        let upstreams = [start(small, BODY_FIXED.len())?, start(large, BODY_LARGE)?];
        for port in [small, large] {
            wait_for(port, None)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            small,
            large,
            _upstreams: upstreams,
        })
    }

    /// Starts a contender and waits for its first answer.
    pub(crate) fn start(&self, contender: Contender) -> Outcome<Server> {
        let ports = Ports {
            quiet: free_port()?,
            logged: free_port()?,
            tls: free_port()?,
        };
        let command = contender.command(self, ports)?;
        let path = self.dir.join(format!("{}.log", contender.name()));
        let log = File::create(&path)?;
        let start = wait::now();
        let mut process = Running::start(SERVER_CORE, &command, &log)?;
        if let Err(error) = wait_for(ports.quiet, Some(&mut process)) {
            let said = fs::read_to_string(&path).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            return Err(format!("{error}; it said: {}", last.join(" | ")).into());
        }
        Ok(Server {
            contender,
            process,
            ports,
            ready: start.elapsed(),
        })
    }

    fn write(&self, ports: Ports, name: &str, template: &str) -> Outcome<PathBuf> {
        let root = rustix::process::geteuid().is_root();
        let path = self.dir.join(name);
        let text = template
            .replace(
                "{{DIR}}",
                self.dir.to_str().ok_or("the folder is not UTF-8")?,
            )
            .replace("{{USER}}", if root { "root" } else { "nobody" })
            .replace("{{QUIET}}", &ports.quiet.to_string())
            .replace("{{LOGGED}}", &ports.logged.to_string())
            .replace("{{TLS}}", &ports.tls.to_string())
            .replace("{{SMALL}}", &self.small.to_string())
            .replace("{{LARGE}}", &self.large.to_string());
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// A text of so many bytes, which compresses about as well as one that says something.
fn text(length: usize) -> String {
    let words = [
        "server",
        "request",
        "the",
        "of",
        "connection",
        "and",
        "a",
        "response",
        "is",
        "header",
        "which",
        "to",
        "upstream",
        "worker",
        "in",
        "that",
        "file",
        "time",
    ];
    let mut text = String::with_capacity(length + 16);
    let mut random = 1_u64;
    while text.len() < length {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let number = usize::try_from(random >> 40).unwrap_or_default();
        text.push_str(words[number % words.len()]);
        match number % 7 {
            0 => text.push_str(&(number % 1000).to_string()),
            1 => text.push_str(".\n"),
            _ => text.push(' '),
        }
    }
    text.truncate(length);
    text
}

/// Waits until the port gives an answer to a request.
fn wait_for(port: u16, mut process: Option<&mut Running>) -> Outcome<()> {
    wait::until("ready", READY_LIMIT, Duration::from_micros(200), || {
        if let Some(process) = process.as_deref_mut()
            && !process.is_alive()
        {
            return Err("it ended at once".into());
        }
        let answer = connect(port).and_then(|stream| probe::ask(&stream, "/fixed"));
        match answer {
            Ok(_) => Ok(Some(())),
            // Not listening yet, or listening before it can serve.
            Err(error) if is_too_early(&*error) => Ok(None),
            Err(error) => Err(error),
        }
    })
}

/// A connection that waits for five seconds at most.
pub(crate) fn connect(port: u16) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn is_too_early(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
        )
    })
}

/// A port that was free a moment ago.
fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where a program is: in the `PATH`, or where system daemons are and a user's `PATH` is not.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

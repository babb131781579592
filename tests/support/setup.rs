//! How the binary is started: with which file, arguments and environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::log::Log;
use super::process::wait_exit;

/// What is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_httpserverd");

/// The name of the configuration file in the daemon's folder.
pub(super) const CONFIG: &str = "httpserver.toml";

/// Becomes a container as far as a daemon can tell: it is process 1, and can write nothing.
const CONTAINER: &str = r#"exec unshare --mount --pid --fork --kill-child --mount-proc sh -c '
    mount --bind "$PWD" "$PWD" && cd "$PWD" && mount -o remount,bind,ro "$PWD" &&
    mount -o remount,bind,ro / && ! touch probe 2>/dev/null && exec "$0" "$@"'"#;

/// Has a file of its own in the place of the system's table of hosts.
const OWN_HOSTS: &str = r#"exec unshare --mount sh -c '
    mount --bind hosts /etc/hosts && exec "$0" "$@"'"#;

/// How a daemon is started.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: TempDir,
    command: Command,
    has_arguments: bool,
    /// Whether what is started here starts the daemon, and waits for it.
    is_parent: bool,
}

/// What a process said that ended by itself.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Setup {
    /// A folder of its own, and nothing said yet.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            command: command(PROGRAM, folder.path()),
            folder,
            has_arguments: false,
            is_parent: false,
        }
    }

    /// One in a container, as its first process, with nothing that it can write. `None` where
    /// that is not permitted.
    pub(crate) fn contained() -> Option<Self> {
        let mut setup = Self::new().permitted(CONTAINER)?;
        setup.is_parent = true;
        Some(setup)
    }

    /// One where the addresses of names are what the file `hosts` in its folder says. `None` where
    /// that is not permitted.
    pub(crate) fn naming(hosts: &str) -> Option<Self> {
        Self::new().file("hosts", hosts).permitted(OWN_HOSTS)
    }

    /// Has a shell start it, if this script is permitted to what it asks the kernel for.
    fn permitted(self, script: &str) -> Option<Self> {
        let probe = format!("{script} true");
        let mut probed = command("/bin/sh", self.folder());
        let permitted = probed.args(["-c", &probe]).output().unwrap().status;
        if !permitted.success() {
            eprintln!("SKIPPED: containers: unshare and mount are not permitted here");
            return None;
        }
        Some(self.shell(script))
    }

    /// One to which a service manager hands this listening socket under this name.
    pub(crate) fn activated(name: &str, socket: impl Into<Stdio>) -> Self {
        let mut setup = Self::new();
        let mut command = Command::new("sh");
        let script = format!(
            "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES='{name}' exec \"$@\""
        );
        command
            .args(["-c", &script, "sh", PROGRAM])
            .current_dir(setup.folder.path())
            .env_clear()
            .stdin(socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        setup.command = command;
        setup
    }

    /// A file in the daemon's folder, which is where relative paths start.
    pub(crate) fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        write(&self.folder.path().join(path), contents.as_ref());
        self
    }

    /// A file in the daemon's folder that nobody else may read.
    pub(crate) fn secret(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let setup = self.file(path, contents);
        let secret = fs::Permissions::from_mode(0o600);
        fs::set_permissions(setup.folder.path().join(path), secret).unwrap();
        setup
    }

    /// The configuration.
    pub(crate) fn config(self, text: &str) -> Self {
        self.file(CONFIG, text)
    }

    /// An argument on the command line, instead of `--config httpserver.toml`.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self.has_arguments = true;
        self
    }

    /// A variable in the environment, which is empty otherwise.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has a shell start it: the daemon and its arguments go behind this. The first thing to say.
    pub(crate) fn shell(mut self, script: &str) -> Self {
        self.command = command("/bin/sh", self.folder.path());
        let script = format!("{script} \"$0\" \"$@\"");
        self.command.arg("-c").arg(script).arg(PROGRAM);
        self
    }

    /// The daemon's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it with its standard output here, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_writing_to(mut self, output: Stdio) -> Daemon {
        self.command.stdout(output);
        self.start()
    }

    /// Starts it, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(mut self) -> Daemon {
        let socket = self.folder.path().join("notify");
        let notify = UnixDatagram::bind(&socket).unwrap();
        // Whoever the daemon becomes may speak.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        self.command.env("NOTIFY_SOCKET", &socket);
        let child = self.spawn();
        let mut daemon = Daemon::ready(child, self.folder, notify);
        if self.is_parent {
            daemon.is_child();
        }
        daemon
    }

    /// Runs it to its end, which must come by itself.
    #[track_caller]
    pub(crate) fn run(self) -> Refused {
        self.run_in_folder().0
    }

    /// Runs it to its end, which must come by itself, and keeps its folder.
    #[track_caller]
    pub(crate) fn run_in_folder(mut self) -> (Refused, TempDir) {
        let mut child = self.spawn();
        let stdout = Log::read(child.stdout.take().unwrap());
        let stderr = Log::read(child.stderr.take().unwrap());
        let code = wait_exit(&mut child).unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("it did not end; its log:\n{}", stderr.text());
        });
        let refused = Refused {
            code,
            stdout: stdout.wait_end(),
            stderr: stderr.wait_end(),
        };
        (refused, self.folder)
    }

    fn spawn(&mut self) -> Child {
        if !self.has_arguments {
            self.command.arg("--config").arg(CONFIG);
        }
        self.command.spawn().unwrap()
    }
}

/// A program that runs in this folder, with an empty environment.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Writes a file and the folders it stands in.
pub(super) fn write(path: &Path, contents: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

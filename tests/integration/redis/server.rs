//! A redis-server of one's own: a process on a free port, with a directory that goes with it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// Longest that a server may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// How a server keeps what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Everything it acknowledges is on its disk.
    Always,
    /// The last second may be lost.
    EverySecond,
    /// Nothing is kept.
    Nothing,
}

/// A redis-server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    keeping: Keeping,
    more: Vec<String>,
}

impl Server {
    pub(crate) fn start(keeping: Keeping) -> Self {
        Self::start_with(keeping, &[])
    }

    pub(crate) fn start_with(keeping: Keeping, more: &[&str]) -> Self {
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(port, &dir, keeping, &more);
        let server = Self {
            child,
            port,
            dir,
            keeping,
            more,
        };
        server.answers();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with what its disk holds.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.dir, self.keeping, &self.more);
        self.answers();
    }

    /// Stops it (`STOP`) or lets it go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// What `redis-cli` answers.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Publishes bytes on a channel.
    pub(crate) fn publish(&self, channel: &str, data: &[u8]) {
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-x", "publish", channel])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(data).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn answers(&self) {
        let addr: SocketAddr = ([127, 0, 0, 1], self.port).into();
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(addr).is_err() || self.cli(&["ping"]) != "PONG" {
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, dir: &tempfile::TempDir, keeping: Keeping, more: &[String]) -> Child {
    let (append_only, fsync) = match keeping {
        Keeping::Always => ("yes", "always"),
        Keeping::EverySecond => ("yes", "everysec"),
        Keeping::Nothing => ("no", "no"),
    };
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", append_only])
        .args(["--appendfsync", fsync, "--dir"])
        .arg(dir.path())
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed: apt-get install redis-server")
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

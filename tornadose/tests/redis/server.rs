//! A `redis-server` that belongs to one test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Numbers the folders, so that no two tests share one.
static FOLDER_NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// Starts a server that keeps acknowledged writes over `kill -9`, because it writes them before it replies. `everysec` would not
    /// do: there the write may wait for the previous `fsync`, and the reply does not.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "no"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let number = FOLDER_NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{}-{number}", std::process::id()));
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another program may take the free port first, so try again with another one.
        for _ in 0..10 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            fs::create_dir_all(&folder).unwrap();
            let mut server = Self { child: None, port, folder: folder.clone(), arguments };
            if server.launch() {
                return server;
            }
            arguments = std::mem::take(&mut server.arguments);
        }
        panic!("redis-server does not start");
    }

    /// Starts a Sentinel that watches the master at this port as `mymaster`, with two others.
    pub(crate) fn start_sentinel(master_port: u16) -> Self {
        Self::start_sentinel_with(master_port, &[])
    }

    /// Starts a Sentinel with further lines of its configuration.
    pub(crate) fn start_sentinel_with(master_port: u16, further: &[&str]) -> Self {
        let monitor = format!("sentinel monitor mymaster 127.0.0.1 {master_port} 2");
        let lines =
            [&monitor, "sentinel down-after-milliseconds mymaster 1000", "sentinel failover-timeout mymaster 4000"];
        Self::start_with(&[&["--sentinel"], further, &lines[..]].concat())
    }

    /// Returns the arguments of a Sentinel. It keeps what it learns in its configuration.
    fn sentinel_arguments(&self, lines: &[String]) -> Vec<String> {
        let (path, folder) = (self.folder.join("sentinel.conf"), self.folder.to_str().unwrap());
        if !path.exists() {
            let network = format!("port {}\nbind 127.0.0.1\nlogfile log\ndir {folder}\n", self.port);
            fs::write(&path, network + &lines.join("\n")).unwrap();
        }
        vec![path.to_str().unwrap().to_owned(), "--sentinel".to_owned()]
    }

    fn server_arguments(&self) -> Vec<String> {
        let (port, folder) = (self.port.to_string(), self.folder.to_str().unwrap());
        let common = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--logfile", "log", "--dir", folder];
        common.into_iter().map(str::to_owned).chain(self.arguments.iter().cloned()).collect()
    }

    fn launch(&mut self) -> bool {
        let arguments = match &self.arguments[..] {
            [first, lines @ ..] if first == "--sentinel" => self.sentinel_arguments(lines),
            _ => self.server_arguments(),
        };
        let child = Command::new("redis-server")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need redis-server (Debian: apt-get install redis-server)");
        self.child = Some(child);
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            if self.try_cli(&["PING"]).is_ok_and(|pong| pong.contains("PONG") || pong.contains("NOAUTH")) {
                return true;
            }
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn try_cli(&self, arguments: &[&str]) -> std::io::Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Returns the output of `redis-cli`.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments).unwrap()
    }

    /// Kills the server with `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts the server again, on the same port and in the same folder.
    pub(crate) fn restart(&mut self) {
        let since = Instant::now();
        while !self.launch() {
            assert!(since.elapsed() < Duration::from_secs(20), "redis-server does not start again");
            sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).ok();
    }
}

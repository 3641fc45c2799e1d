//! A `redis-server` of a test's own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Numbers the folders, so that tests of one run do not share any.
static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// One that keeps what it has acknowledged over `kill -9`: it is written before the answer, and the machine goes on. With
    /// `everysec` the write waits for a slow `fsync` of the second before, and the answer does not.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "no"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{}-{number}", std::process::id()));
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another program may take the free port first: then another is tried.
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

    fn launch(&mut self) -> bool {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--logfile", "log"])
            .args(["--dir", self.folder.to_str().unwrap()])
            .args(&self.arguments)
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

    /// What `redis-cli` answers.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments).unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, on the same port and folder.
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

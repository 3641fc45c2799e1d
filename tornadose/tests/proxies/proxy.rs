//! Starts a proxy with its configuration from the page.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{CERTIFICATE, KEY};
use super::{HARD_STOP, PROXY_TIMEOUT};

/// The text of the page, read when the test runs.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploy.md");

/// One of the proxies.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) program: &'static str,
    /// The language of its block in the page.
    pub(crate) language: &'static str,
    /// A text that a test replaces in the page's configuration.
    pub(crate) replaced: &'static [&'static str],
    /// Whether the page's configuration has a time-out of silence.
    pub(crate) has_timeout: bool,
    /// Whether a request waits while the server restarts.
    pub(crate) waits: bool,
    /// How many streams one connection over HTTP/2 may have.
    pub(crate) http2_streams: usize,
    /// Whether a browser opens a WebSocket on its HTTP/2 connection (RFC 8441).
    pub(crate) has_websocket_over_http2: bool,
    pub(crate) after_reload: AfterReload,
    /// Completes the configuration: what stands around it in an installation. Caddy and Apache have a setting that
    /// looks as if it bounded a reload, and does not.
    complete: fn(&Site, String) -> String,
    arguments: fn(&Path) -> Vec<String>,
    reload: Reload,
}

/// What becomes of the streams of before a reload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterReload {
    /// An old process serves them until they end, or until the page's configuration cuts them.
    OldProcess { has_hard_stop: bool },
    /// The process goes on with Server-Sent Events until they end, and closes each WebSocket at once.
    SameProcess,
}

/// How a proxy is told that its configuration has changed.
#[derive(Clone, Copy)]
enum Reload {
    /// A command with these arguments tells the running proxy.
    Command(fn(&Path) -> Vec<String>),
    /// A new process tells the old one to end.
    Successor,
}

/// Where a test's proxy runs.
pub(crate) struct Site {
    folder: PathBuf,
    port: u16,
    /// Where Caddy is told to reload.
    admin_port: u16,
}

pub(crate) const NGINX: Kind = Kind {
    program: "nginx",
    language: "nginx",
    replaced: &["listen 443 ", "127.0.0.1:9000", "/etc/ssl/app.example.pem", "/etc/ssl/app.example.key", " 60s;"],
    has_timeout: true,
    waits: false,
    http2_streams: 128,
    has_websocket_over_http2: false,
    after_reload: AfterReload::OldProcess { has_hard_stop: true },
    complete: |site, snippet| {
        let (folder, port) = (site.folder.display(), site.port);
        let snippet = snippet
            .replace("listen 443 ", &format!("listen 127.0.0.1:{port} "))
            .replace(" 60s;", &format!(" {PROXY_TIMEOUT};"));
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = paths.map(|name| format!("{name}_temp_path {folder}/{name};")).join("\n");
        let hard_stop = blocks("nginx")[1].replace(" 2h;", &format!(" {}s;", HARD_STOP.as_secs()));
        format!(
            "{hard_stop}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
             events {{}}\nhttp {{\naccess_log off;\n{paths}\n{snippet}\n}}\n"
        )
    },
    arguments: |file| ["-c", &file.display().to_string(), "-e", "stderr"].map(Into::into).into(),
    reload: Reload::Command(|file| {
        ["-c", &file.display().to_string(), "-e", "stderr", "-s", "reload"].map(Into::into).into()
    }),
};

pub(crate) const HAPROXY: Kind = Kind {
    program: "haproxy",
    language: "haproxy",
    replaced: &["bind :443 ", "127.0.0.1:9000", "/etc/haproxy/app.example.pem", " 60s", " 2h"],
    has_timeout: true,
    waits: true,
    http2_streams: 100,
    has_websocket_over_http2: true,
    after_reload: AfterReload::OldProcess { has_hard_stop: true },
    complete: |site, snippet| {
        let pair = site.folder.join("pair.pem");
        fs::write(&pair, fs::read_to_string(CERTIFICATE).unwrap() + &fs::read_to_string(KEY).unwrap()).unwrap();
        snippet
            .replace("bind :443 ", &format!("bind 127.0.0.1:{} ", site.port))
            .replace("/etc/haproxy/app.example.pem", &pair.display().to_string())
            .replace(" 60s", &format!(" {PROXY_TIMEOUT}"))
            .replace(" 2h", &format!(" {}s", HARD_STOP.as_secs()))
    },
    arguments: |file| ["-db", "-f", &file.display().to_string()].map(Into::into).into(),
    reload: Reload::Successor,
};

pub(crate) const CADDY: Kind = Kind {
    program: "caddy",
    language: "caddyfile",
    replaced: &["app.example {", "127.0.0.1:9000"],
    has_timeout: false,
    waits: true,
    http2_streams: 250,
    has_websocket_over_http2: false,
    after_reload: AfterReload::SameProcess,
    complete: |site, snippet| {
        let address = format!("https://localhost:{} {{\n    tls {CERTIFICATE} {KEY}", site.port);
        // It would replace the certificates of the machine otherwise, and listen at port 80.
        format!(
            "{{\n    admin localhost:{}\n    auto_https off\n    skip_install_trust\n    grace_period {}s\n}}\n{}",
            site.admin_port,
            HARD_STOP.as_secs(),
            snippet.replace("app.example {", &address)
        )
    },
    arguments: |file| ["run", "--adapter", "caddyfile", "--config", &file.display().to_string()].map(Into::into).into(),
    reload: Reload::Command(|file| {
        ["reload", "--adapter", "caddyfile", "--config", &file.display().to_string()].map(Into::into).into()
    }),
};

pub(crate) const APACHE: Kind = Kind {
    program: "apache2",
    language: "apache",
    replaced: &["*:443", "127.0.0.1:9000", "/etc/ssl/app.example.pem", "/etc/ssl/app.example.key", "timeout=60"],
    has_timeout: true,
    waits: false,
    http2_streams: 6,
    has_websocket_over_http2: false,
    after_reload: AfterReload::OldProcess { has_hard_stop: false },
    complete: |site, snippet| {
        let (folder, port) = (site.folder.display(), site.port);
        let modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "http2", "proxy", "proxy_http"];
        let modules =
            modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so")).join("\n");
        let (seconds, hard_stop) = (PROXY_TIMEOUT.trim_end_matches('s'), HARD_STOP.as_secs());
        let snippet =
            snippet.replace("*:443", &format!("127.0.0.1:{port}")).replace("timeout=60", &format!("timeout={seconds}"));
        format!(
            "ServerRoot {folder}\nServerName localhost\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
             ErrorLog {folder}/error.log\nGracefulShutdownTimeout {hard_stop}\n{modules}\n<IfModule unixd_module>\nUser www-data\nGroup www-data\n</IfModule>\n\
             Listen 127.0.0.1:{port}\n{snippet}\n"
        )
    },
    arguments: |file| ["-DFOREGROUND", "-f", &file.display().to_string()].map(Into::into).into(),
    reload: Reload::Command(|file| ["-f", &file.display().to_string(), "-k", "graceful"].map(Into::into).into()),
};

/// The first block of a language in the page.
pub(crate) fn snippet(language: &str) -> String {
    blocks(language).swap_remove(0)
}

/// The first block, with the end of it replaced by the second: they share the line that it begins with.
pub(crate) fn variant(language: &str) -> String {
    let [first, second] = blocks(language).try_into().unwrap();
    let shared = second.lines().next().unwrap();
    let (begin, _) = first.split_once(&format!("\n{shared}\n")).unwrap();
    format!("{begin}\n{second}")
}

fn blocks(language: &str) -> Vec<String> {
    let (page, begin) = (fs::read_to_string(PAGE).unwrap(), format!("```{language}\n"));
    let blocks = page.split(&begin).skip(1).map(|block| block.split("```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

/// A proxy in a process of its own, which ends when it is dropped.
pub(crate) struct Proxy {
    kind: Kind,
    child: Child,
    site: Site,
    old: Old,
}

/// What was there before the last reload, and serves the streams of that time.
enum Old {
    Nothing,
    Process(Child),
    /// Processes of the proxy's first process.
    Workers(Vec<String>),
}

impl Proxy {
    /// Starts it in front of a server. Returns `None`, and says how to install it, where the program is missing.
    pub(crate) async fn start(kind: Kind, snippet: &str, server: u16) -> Option<Self> {
        let site = Site::new(kind.program);
        site.write_config(kind, snippet, server);
        let child = match site.command(kind, (kind.arguments)(&site.config())).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("left out: {0} is not installed (Debian, Ubuntu: sudo apt-get install {0})", kind.program);
                return None;
            }
            Err(error) => panic!("{}: {error}", kind.program),
        };
        let mut proxy = Self { kind, child, site, old: Old::Nothing };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).is_err() {
            let ended = proxy.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < Duration::from_secs(20), "{}: {}", kind.program, proxy.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(proxy)
    }

    /// Reloads it, with a configuration that leads to another server.
    pub(crate) fn reload(&mut self, snippet: &str, server: u16) {
        self.site.write_config(self.kind, snippet, server);
        match self.kind.reload {
            Reload::Command(arguments) => {
                self.old = Old::Workers(self.workers());
                let status = self.site.command(self.kind, arguments(&self.site.config())).status().unwrap();
                assert!(status.success(), "{}: {}", self.kind.program, self.log());
            }
            Reload::Successor => {
                let mut arguments = (self.kind.arguments)(&self.site.config());
                arguments.extend(["-sf".into(), self.child.id().to_string()]);
                let successor = self.site.command(self.kind, arguments).spawn().unwrap();
                self.old = Old::Process(std::mem::replace(&mut self.child, successor));
            }
        }
    }

    /// How many processes of before the last reload still run.
    pub(crate) fn old_processes(&mut self) -> usize {
        let workers = self.workers();
        match &mut self.old {
            Old::Nothing => 0,
            Old::Process(child) => usize::from(child.try_wait().unwrap().is_none()),
            Old::Workers(old) => old.iter().filter(|process| workers.contains(process)).count(),
        }
    }

    /// The processes that this proxy has started.
    fn workers(&self) -> Vec<String> {
        let listed = Command::new("pgrep").args(["-P", &self.child.id().to_string()]).output().expect("pgrep runs");
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
    }

    pub(crate) fn port(&self) -> u16 {
        self.site.port
    }

    fn log(&self) -> String {
        let files = ["output.log", "error.log"].map(|name| self.site.folder.join(name));
        files.map(|file| fs::read_to_string(file).unwrap_or_default()).join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if let Old::Process(old) = &mut self.old {
            // An error means that it has ended already.
            let _killed = old.kill();
            let _ended = old.wait();
        }
        // Apache's first process ends the others when it is asked to end, not when it is killed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // An error means that it has ended already.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
        let _removed = fs::remove_dir_all(&self.site.folder);
    }
}

impl Site {
    fn new(program: &str) -> Self {
        let free_port = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let port = free_port();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}-{port}"));
        fs::create_dir_all(&folder).unwrap();
        Self { folder, port, admin_port: free_port() }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    fn write_config(&self, kind: Kind, snippet: &str, server: u16) {
        let snippet = snippet
            .replace("127.0.0.1:9000", &format!("127.0.0.1:{server}"))
            .replace("/etc/ssl/app.example.pem", CERTIFICATE)
            .replace("/etc/ssl/app.example.key", KEY);
        fs::write(self.config(), (kind.complete)(self, snippet)).unwrap();
    }

    fn command(&self, kind: Kind, arguments: Vec<String>) -> Command {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("output.log")).unwrap();
        let mut command = Command::new(kind.program);
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log);
        command.stdin(Stdio::null()).env("HOME", &self.folder).env("XDG_DATA_HOME", &self.folder);
        // Debian has the programs of operators where the path of a user does not lead.
        command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
        command
    }
}

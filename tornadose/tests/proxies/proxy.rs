//! Starts a proxy with its configuration from the page.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PROXY_TIMEOUT;
use super::client::{CERTIFICATE, KEY};

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
    /// Completes the configuration: what stands around it in an installation.
    complete: fn(&Site, String) -> String,
    arguments: fn(&Path) -> Vec<String>,
}

/// Where a test's proxy runs.
pub(crate) struct Site {
    folder: PathBuf,
    port: u16,
}

pub(crate) const NGINX: Kind = Kind {
    program: "nginx",
    language: "nginx",
    replaced: &["listen 443 ", "127.0.0.1:9000", "/etc/ssl/app.example.pem", "/etc/ssl/app.example.key", " 60s;"],
    has_timeout: true,
    waits: false,
    http2_streams: 128,
    has_websocket_over_http2: false,
    complete: |site, snippet| {
        let (folder, port) = (site.folder.display(), site.port);
        let snippet = snippet
            .replace("listen 443 ", &format!("listen 127.0.0.1:{port} "))
            .replace(" 60s;", &format!(" {PROXY_TIMEOUT};"));
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = paths.map(|name| format!("{name}_temp_path {folder}/{name};")).join("\n");
        format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
             events {{}}\nhttp {{\naccess_log off;\n{paths}\n{snippet}\n}}\n"
        )
    },
    arguments: |file| vec!["-c".into(), file.display().to_string(), "-e".into(), "stderr".into()],
};

pub(crate) const HAPROXY: Kind = Kind {
    program: "haproxy",
    language: "haproxy",
    replaced: &["bind :443 ", "127.0.0.1:9000", "/etc/haproxy/app.example.pem", " 60s"],
    has_timeout: true,
    waits: true,
    http2_streams: 100,
    has_websocket_over_http2: true,
    complete: |site, snippet| {
        let pair = site.folder.join("pair.pem");
        fs::write(&pair, fs::read_to_string(CERTIFICATE).unwrap() + &fs::read_to_string(KEY).unwrap()).unwrap();
        snippet
            .replace("bind :443 ", &format!("bind 127.0.0.1:{} ", site.port))
            .replace("/etc/haproxy/app.example.pem", &pair.display().to_string())
            .replace(" 60s", &format!(" {PROXY_TIMEOUT}"))
    },
    arguments: |file| vec!["-db".into(), "-f".into(), file.display().to_string()],
};

pub(crate) const CADDY: Kind = Kind {
    program: "caddy",
    language: "caddyfile",
    replaced: &["app.example {", "127.0.0.1:9000"],
    has_timeout: false,
    waits: true,
    http2_streams: 250,
    has_websocket_over_http2: false,
    complete: |site, snippet| {
        let address = format!("https://localhost:{} {{\n    tls {CERTIFICATE} {KEY}", site.port);
        // It would replace the certificates of the machine otherwise, and listen at port 80.
        format!(
            "{{\n    admin off\n    auto_https off\n    skip_install_trust\n}}\n{}",
            snippet.replace("app.example {", &address)
        )
    },
    arguments: |file| ["run", "--adapter", "caddyfile", "--config", &file.display().to_string()].map(Into::into).into(),
};

pub(crate) const APACHE: Kind = Kind {
    program: "apache2",
    language: "apache",
    replaced: &["*:443", "127.0.0.1:9000", "/etc/ssl/app.example.pem", "/etc/ssl/app.example.key", "timeout=60"],
    has_timeout: true,
    waits: false,
    http2_streams: 6,
    has_websocket_over_http2: false,
    complete: |site, snippet| {
        let (folder, port) = (site.folder.display(), site.port);
        let modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "http2", "proxy", "proxy_http"];
        let modules =
            modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so")).join("\n");
        let seconds = PROXY_TIMEOUT.trim_end_matches('s');
        let snippet =
            snippet.replace("*:443", &format!("127.0.0.1:{port}")).replace("timeout=60", &format!("timeout={seconds}"));
        format!(
            "ServerRoot {folder}\nServerName localhost\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
             ErrorLog {folder}/error.log\n{modules}\n<IfModule unixd_module>\nUser www-data\nGroup www-data\n</IfModule>\n\
             Listen 127.0.0.1:{port}\n{snippet}\n"
        )
    },
    arguments: |file| vec!["-DFOREGROUND".into(), "-f".into(), file.display().to_string()],
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
    child: Child,
    site: Site,
}

impl Proxy {
    /// Starts it in front of a server. Returns `None`, and says how to install it, where the program is missing.
    pub(crate) async fn start(kind: Kind, snippet: &str, server: u16) -> Option<Self> {
        let site = Site::new(kind.program);
        let snippet = snippet
            .replace("127.0.0.1:9000", &format!("127.0.0.1:{server}"))
            .replace("/etc/ssl/app.example.pem", CERTIFICATE)
            .replace("/etc/ssl/app.example.key", KEY);
        let file = site.folder.join("config");
        fs::write(&file, (kind.complete)(&site, snippet)).unwrap();
        let log = fs::File::create(site.folder.join("output.log")).unwrap();
        let mut command = Command::new(kind.program);
        command.args((kind.arguments)(&file)).stdout(log.try_clone().unwrap()).stderr(log);
        command.stdin(Stdio::null()).env("HOME", &site.folder).env("XDG_DATA_HOME", &site.folder);
        // Debian has the programs of operators where the path of a user does not lead.
        command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("left out: {0} is not installed (Debian, Ubuntu: sudo apt-get install {0})", kind.program);
                return None;
            }
            Err(error) => panic!("{}: {error}", kind.program),
        };
        let mut proxy = Self { child, site };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).is_err() {
            let ended = proxy.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < Duration::from_secs(20), "{}: {}", kind.program, proxy.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(proxy)
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
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}-{port}"));
        fs::create_dir_all(&folder).unwrap();
        Self { folder, port }
    }
}

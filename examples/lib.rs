//! The port of the examples, and the hints that they print when they listen.

use std::io;
use std::net::Ipv4Addr;

use salvo::Router;
use salvo::conn::tcp::TcpAcceptor;

/// Serves at `port`, or at the port in the environment variable `PORT`. Prints the hints when it listens, with the port in the place
/// of `{port}`.
///
/// # Errors
///
/// If `PORT` is not a port, or if the port is in use. Nothing has been printed then.
pub async fn serve(port: u16, router: Router, hints: &[&str]) -> io::Result<()> {
    let acceptor = listen(port, hints).await?;
    tornadose::serve_on(acceptor, router).await
}

/// Serves like [`serve`]. On Ctrl-C or SIGTERM it goes on until `drain` is ready, so that what streams may come to its end, and
/// then ends the streams. A second signal cuts the drain short.
///
/// # Errors
///
/// As [`serve`], and if no signal can be waited for.
pub async fn serve_and_drain(
    port: u16,
    router: Router,
    hints: &[&str],
    drain: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let acceptor = listen(port, hints).await?;
    let shutdown = async move {
        signals.recv().await;
        tokio::select! {
            biased;
            () = signals.recv() => {}
            () = drain => {}
        }
    };
    tornadose::serve_with_shutdown(acceptor, router, shutdown).await
}

async fn listen(port: u16, hints: &[&str]) -> io::Result<TcpAcceptor> {
    let port = port_or(port)?;
    let acceptor = tornadose::listen((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://localhost:{port}");
    for hint in hints {
        println!("  {}", hint.replace("{port}", &port.to_string()));
    }
    Ok(acceptor)
}

fn port_or(default: u16) -> io::Result<u16> {
    let Ok(port) = std::env::var("PORT") else { return Ok(default) };
    port.parse().map_err(|_| io::Error::other(format!("`PORT` is `{port}`, not a port")))
}

/// Ctrl-C, and SIGTERM where the system has it.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn recv(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The programs of the README, which are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs of the page on deploying.
#[cfg(doctest)]
#[doc = include_str!("../docs/deploy.md")]
struct Deploy;

//! The port of the examples, and the hints that they print when they listen.

use std::io;
use std::net::Ipv4Addr;

use salvo::Router;

/// Serves at `port`, or at the port in the environment variable `PORT`. Prints the hints when it listens, with the port in the place
/// of `{port}`.
///
/// # Errors
///
/// If `PORT` is not a port, or if the port is in use. Nothing has been printed then.
pub async fn serve(port: u16, router: Router, hints: &[&str]) -> io::Result<()> {
    let port = port_or(port)?;
    let acceptor = tornadose::listen((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://localhost:{port}");
    for hint in hints {
        println!("  {}", hint.replace("{port}", &port.to_string()));
    }
    tornadose::serve_on(acceptor, router).await
}

fn port_or(default: u16) -> io::Result<u16> {
    let Ok(port) = std::env::var("PORT") else { return Ok(default) };
    port.parse().map_err(|_| io::Error::other(format!("`PORT` is `{port}`, not a port")))
}

/// The programs of the README, which are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs of the page on deploying.
#[cfg(doctest)]
#[doc = include_str!("../docs/deploy.md")]
struct Deploy;

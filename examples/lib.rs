//! What the examples share: their port, and what they say when they listen.

use std::io;
use std::net::Ipv4Addr;

use salvo::Router;

/// Serves at this port, or at that of the environment's `PORT`, and says what to try once it listens; `{port}` in the hints is
/// the port.
///
/// # Errors
///
/// When `PORT` is no port, or the port is taken; then nothing has been printed.
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

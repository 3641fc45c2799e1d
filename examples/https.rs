//! The ticker over HTTPS, with HTTP/2 for the browsers that ask for it. Make a certificate as below, start it with
//! `cargo run --example https`, and read it with `curl -N --cacert cert.pem https://localhost:9443`.
//!
//! ```sh
//! openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
//!   -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:localhost \
//!   -keyout key.pem -out cert.pem
//! ```

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use salvo::conn::Listener;
use salvo::conn::rustls::{Keycert, RustlsAcceptor, RustlsConfig, RustlsListener};
use salvo::conn::tcp::TcpAcceptor;
use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, ws, store = Tick)]
struct Ticks;

/// A socket of [`tornadose::listen`], which has the options that streams need. Salvo's own `TcpListener` has not.
struct Bound(TcpAcceptor);

impl Listener for Bound {
    type Acceptor = TcpAcceptor;

    async fn try_bind(self) -> salvo::Result<TcpAcceptor> {
        Ok(self.0)
    }
}

/// Listens at a port of this machine, with the certificate `cert.pem` and the key `key.pem` in a folder.
async fn listen_tls(folder: &Path, port: u16) -> io::Result<RustlsAcceptor<TcpAcceptor>> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
    };
    let config = RustlsConfig::new(Keycert::new().cert(read("cert.pem")?).key(read("key.pem")?));
    let bound = Bound(tornadose::listen((Ipv4Addr::LOCALHOST, port)).await?);
    RustlsListener::new(config, bound).try_bind().await.map_err(io::Error::other)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let store = Store::new();
    let ticks = store.clone();
    tokio::spawn(async move {
        while ticks.submit(Tick(rand::random())).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let port = std::env::var("PORT").map_or(Ok(9443), |port| port.parse()).map_err(io::Error::other)?;
    let acceptor = listen_tls(Path::new("."), port).await?;
    println!("listening on https://localhost:{port}\n  curl -N --cacert cert.pem https://localhost:{port}");
    tornadose::serve_on(acceptor, Router::new().get(Ticks::handler(&store))).await
}

#[cfg(test)]
#[path = "https/tests.rs"]
mod tests;

//! A server on a port, and a minimal client of its stream that shares no code with the library.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tornadose::prelude::*;

use crate::common::{Line, Lines};

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn router(store: &Store<Line>) -> Router {
    Router::with_path("lines").get(Lines::handler(store))
}

pub(crate) async fn serve(store: &Store<Line>) -> (u16, JoinHandle<io::Result<()>>) {
    let port = free_port();
    let acceptor = tornadose::listen(("127.0.0.1", port)).await.unwrap();
    (port, tokio::spawn(tornadose::serve_on(acceptor, router(store))))
}

/// An item that a page receives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    /// A message's id, if it has one, and its text.
    Text(Option<String>, String),
    /// A gap's data.
    Gap(String),
}

pub(crate) struct Page {
    stream: BufReader<TcpStream>,
    pub(crate) last_id: Option<String>,
    /// How many keep-alive comments arrived.
    pub(crate) comments: usize,
}

impl Page {
    pub(crate) async fn open(port: u16, last_id: Option<String>) -> io::Result<Self> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        let header = last_id.as_ref().map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        stream.write_all(format!("GET /lines HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").as_bytes()).await?;
        let mut head = String::new();
        stream.read_line(&mut head).await?;
        if !head.contains(" 200 ") {
            return Err(io::Error::other(head));
        }
        while !head.trim().is_empty() {
            head.clear();
            stream.read_line(&mut head).await?;
        }
        Ok(Self { stream, last_id, comments: 0 })
    }

    /// Returns the next message or gap. The lines that frame the chunks are not fields, and are skipped.
    pub(crate) async fn next(&mut self) -> io::Result<Shown> {
        let (mut event, mut data, mut id) = (None, None, None);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event = Some(name.to_owned()),
                Some(("data", text)) => data = Some(text.to_owned()),
                Some(("id", text)) => id = Some(text.to_owned()),
                _ if line == "\n" => {
                    if id.is_some() {
                        self.last_id.clone_from(&id);
                    }
                    match (event.take(), data.take()) {
                        (Some(_), Some(gap)) => return Ok(Shown::Gap(gap)),
                        (None, Some(json)) => {
                            let line: Line = serde_json::from_str(&json).map_err(io::Error::other)?;
                            return Ok(Shown::Text(id, line.text));
                        }
                        _ => id = None,
                    }
                }
                _ if line.starts_with(':') => self.comments += 1,
                _ => {}
            }
        }
    }

    /// Returns the next item, within 30 s.
    pub(crate) async fn soon(&mut self) -> Shown {
        timeout(Duration::from_secs(30), self.next()).await.expect("nothing arrived").unwrap()
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.soon().await {
            Shown::Text(_, text) => text,
            gap @ Shown::Gap(_) => panic!("{gap:?}"),
        }
    }
}

//! Servers that stop or are dropped while they have detached streams.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding};
use salvo::fuse::ArcFusePolicy;
use salvo::http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;
use tornadose::prelude::*;
use tornadose_test::Ending;

use super::{GET, LOCAL_ADDRESS, Room, line, rooms, secs, single_connection_harness};

#[tornadose_test::test]
async fn a_graceful_stop_does_not_wait_for_detached_streams_and_a_closed_store_does() {
    let store = Store::new();
    let app = single_connection_harness(rooms(&store));
    let page = app.client("page").once().sse("/1").await;
    app.server().stop_gracefully(secs(5)).await;
    store.submit(line(1, "hi")).await.unwrap();
    page.skip(1).await;
    assert_eq!(store.subscribers(), 1);
    store.close();
    timeout(secs(1), store.closed()).await.unwrap();
    assert_eq!(page.closed().await, Ending::End);
}

type Action = Box<dyn FnOnce() + Send>;

/// A pipe that runs an action during its first write.
struct PipeWithAction(DuplexStream, Arc<Mutex<Option<Action>>>);

impl AsyncRead for PipeWithAction {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for PipeWithAction {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Some(action) = self.1.lock().unwrap().take() {
            action();
        }
        written
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An acceptor of a single pipe.
struct SinglePipe(Option<PipeWithAction>);

impl Acceptor for SinglePipe {
    type Coupler = TcpCoupler<Self::Stream>;
    type Stream = PipeWithAction;

    fn holdings(&self) -> &[Holding] {
        &[]
    }

    async fn accept(&mut self, _: Option<ArcFusePolicy>) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        let Some(stream) = self.0.take() else { return pending().await };
        Ok(Accepted {
            coupler: TcpCoupler::new(),
            stream,
            fuse_config: None,
            conn_ctrl: ConnCtrl::new(),
            local_addr: LOCAL_ADDRESS.into(),
            remote_addr: LOCAL_ADDRESS.into(),
            http_scheme: Scheme::HTTP,
        })
    }
}

/// The server is dropped during a write, as another thread may do.
#[tornadose_test::test]
async fn a_stream_that_detaches_while_its_server_is_dropped_ends_with_it() {
    type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
    let store = Store::new();
    store.submit(line(1, &"x".repeat(100_000))).await.unwrap();
    let router = Router::with_path("{room}").get(Room::handler(&store).replay(1));
    let (mut page, pipe) = duplex(4096);
    page.write_all(GET.as_bytes()).await.unwrap();
    let serving: Arc<Mutex<Option<Serving>>> = Arc::default();
    let server = Arc::clone(&serving);
    let drop_server: Action = Box::new(move || drop(server.lock().unwrap().take()));
    let acceptor = SinglePipe(Some(PipeWithAction(pipe, Arc::new(Mutex::new(Some(drop_server))))));
    *serving.lock().unwrap() = Some(Box::pin(tornadose::serve_on(acceptor, router)));
    poll_fn(|cx| match &mut *serving.lock().unwrap() {
        Some(serving) => serving.as_mut().poll(cx).map(drop),
        None => Poll::Ready(()),
    })
    .now_or_never();
    let mut read = Vec::new();
    let ended = timeout(secs(1), page.read_to_end(&mut read)).await;
    let read = String::from_utf8(read).unwrap();
    assert!(ended.is_ok() && serving.lock().unwrap().is_none(), "{read}");
    assert!(read.contains(": tornadose\n") && !read.ends_with("0\r\n\r\n"), "the stream has no regular end: {read}");
    assert_eq!(store.subscribers(), 0);
}

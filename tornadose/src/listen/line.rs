//! The socket of a connection as its server has it. The few small pieces of an event go out in one, which to the kernel is less work
//! than a list of pieces; and a stream that asks for it takes over what is underneath.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::handler::handover::{Socket, Taker};

/// Up to how many bytes are copied into one piece.
const SMALL: usize = 1 << 10;

thread_local! {
    /// Where pieces are put together.
    static WHOLE: RefCell<[u8; SMALL]> = const { RefCell::new([0; SMALL]) };
}

/// Without a socket once that was given away: it brings nothing then, and takes what its server has yet to say, the end of the body.
pub(super) struct Line(Option<Box<dyn Socket>>);

impl Line {
    pub(super) fn over(socket: impl Socket + 'static) -> Self {
        Self(Some(Box::new(socket)))
    }
}

impl AsyncRead for Line {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(socket) => Pin::new(socket).poll_read(cx, buf),
            // An end would be taken for the client's while the body goes on; afterwards nobody reads.
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Line {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty()
            && let Some(taker) = Taker::of_nothing(buf)
            && let Some(socket) = self.0.take()
        {
            taker.give(socket);
        }
        match &mut self.0 {
            Some(socket) => Pin::new(socket).poll_write(cx, buf),
            None => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let Some(socket) = &mut self.0 else { return Poll::Ready(Ok(length)) };
        let taker = Taker::of(pieces);
        let written = write_together(Pin::new(socket), cx, pieces, length);
        // What is not written whole stays with the server, which knows what is left.
        if let Some(taker) = taker
            && matches!(written, Poll::Ready(Ok(written)) if written == length)
            && let Some(socket) = self.0.take()
        {
            taker.give(socket);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_none_or(AsyncWrite::is_write_vectored)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(socket) => Pin::new(socket).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

fn write_together(
    socket: Pin<&mut Box<dyn Socket>>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
    length: usize,
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return socket.poll_write(cx, piece);
    }
    if length > SMALL {
        return socket.poll_write_vectored(cx, pieces);
    }
    WHOLE.with_borrow_mut(|whole| {
        let mut room = &mut whole[..length];
        for piece in pieces {
            let (here, rest) = room.split_at_mut(piece.len());
            here.copy_from_slice(piece);
            room = rest;
        }
        socket.poll_write(cx, &whole[..length])
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::handler::handover::beneath;

    /// What is given at once: how many pieces, and their bytes.
    type Given = (usize, Vec<u8>);

    /// Notes what it is given.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Given>>>);

    impl AsyncRead for Written {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Written {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().expect("no test panics with it").push((1, buf.to_vec()));
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            let length = bytes.len();
            self.0.lock().expect("no test panics with it").push((pieces.len(), bytes));
            Poll::Ready(Ok(length))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_pieces_are_one_and_big_ones_are_not_copied() {
        for (lengths, pieces) in
            [(&[4, 150, 2][..], 1), (&[0, SMALL - 2, 2], 1), (&[4, SMALL - 5, 2], 3), (&[SMALL + 1], 1), (&[7], 1)]
        {
            let parts: Vec<Vec<u8>> =
                lengths.iter().zip(b'a'..).map(|(&length, letter)| vec![letter; length]).collect();
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let written = Written::default();
            let mut line = Line::over(written.clone());
            let taken = poll_fn(|cx| Pin::new(&mut line).poll_write_vectored(cx, &slices)).await;
            assert_eq!(taken.expect("it is taken"), parts.concat().len());
            assert_eq!(*written.0.lock().expect("no test panics with it"), [(pieces, parts.concat())]);
        }
    }

    #[tokio::test]
    async fn a_line_gives_its_socket_to_the_websocket_that_it_became_and_what_was_read_of_it() {
        let (mut client, server) = duplex(1 << 10);
        let line = TokioIo::new(Line::over(server));
        let upgrades = service_fn(|mut request: Request<Incoming>| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut socket, read) = beneath(upgrade.await.expect("it is upgraded"));
                // Whatever hyper has put around a socket is another type.
                assert_eq!(std::mem::size_of_val(&*socket), size_of::<DuplexStream>());
                assert_eq!(read, b"early");
                let mut late = [0; 4];
                socket.read_exact(&mut late).await.expect("it reads on");
                socket.write_all(&late).await.expect("it is written to");
            });
            let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "x");
            answer.body(String::new())
        });
        tokio::spawn(http1::Builder::new().serve_connection(line, upgrades).with_upgrades());
        client
            .write_all(b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nearly")
            .await
            .expect("it is sent");
        let mut answer = vec![0; 1 << 10];
        let length = client.read(&mut answer).await.expect("it is answered");
        assert!(answer[..length].starts_with(b"HTTP/1.1 101 "));
        client.write_all(b"late").await.expect("it is sent");
        let mut echo = [0; 4];
        client.read_exact(&mut echo).await.expect("it is answered");
        assert_eq!(&echo, b"late");
    }
}

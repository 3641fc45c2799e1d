//! A socket that is given the few small pieces of an event in one: to the kernel that is less work than a list of pieces.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to how many bytes are copied into one piece.
const SMALL: usize = 1 << 10;

thread_local! {
    /// Where pieces are put together.
    static WHOLE: RefCell<[u8; SMALL]> = const { RefCell::new([0; SMALL]) };
}

pub(super) struct Line<IO>(pub(super) IO);

impl<IO: AsyncRead + Unpin> AsyncRead for Line<IO> {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Line<IO> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.0);
        if let [piece] = pieces {
            return io.poll_write(cx, piece);
        }
        WHOLE.with_borrow_mut(|whole| {
            let mut length = 0;
            for piece in pieces {
                let Some(room) = whole.get_mut(length..length + piece.len()) else {
                    return io.poll_write_vectored(cx, pieces);
                };
                room.copy_from_slice(piece);
                length += piece.len();
            }
            io.poll_write(cx, &whole[..length])
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Notes what it is given at once: how many pieces, and their bytes.
    #[derive(Default)]
    struct Written(Vec<(usize, Vec<u8>)>);

    impl AsyncWrite for Written {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.get_mut().0.push((1, buf.to_vec()));
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            let length = bytes.len();
            self.get_mut().0.push((pieces.len(), bytes));
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
            let mut line = Line(Written::default());
            let taken = poll_fn(|cx| Pin::new(&mut line).poll_write_vectored(cx, &slices)).await;
            assert_eq!(taken.expect("it is taken"), parts.concat().len());
            assert_eq!(line.0.0, [(pieces, parts.concat())]);
        }
    }
}

//! The chunks of an HTTP/1.1 body of unknown length.
//!
//! A buffer from [`begin`] leaves room for the chunk's size, so that [`end`] writes it without moving the content.

use bytes::{BufMut, Bytes, BytesMut};

/// The last chunk, which ends a body.
// RFC 9112 §7.1: a chunk of size zero ends the body; we send no trailers.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

const LINE_END: &[u8] = b"\r\n";

/// Room for the line before a chunk's content, its length in hexadecimal digits.
const ROOM: usize = 2 * size_of::<usize>() + LINE_END.len();

/// Returns a buffer for a chunk with content of about this length.
pub(crate) fn begin(length: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(ROOM + length + LINE_END.len());
    bytes.put_bytes(0, ROOM);
    bytes
}

/// Makes a chunk of what was written since [`begin`]. Empty content gives no bytes, because an empty chunk would end
/// the body.
pub(crate) fn end(mut bytes: BytesMut) -> Bytes {
    let length = bytes.len() - ROOM;
    if length == 0 {
        return Bytes::new();
    }
    bytes.put_slice(LINE_END);
    let mut start = ROOM - LINE_END.len();
    bytes[start..ROOM].copy_from_slice(LINE_END);
    // RFC 9112 §7.1: the size in hexadecimal digits, without leading zeros here.
    let mut left = length;
    while left > 0 {
        start -= 1;
        bytes[start] = b"0123456789ABCDEF"[left % 16];
        left /= 16;
    }
    bytes.freeze().slice(start..)
}

/// Encodes these bytes as one chunk.
pub(crate) fn of(content: &[u8]) -> Bytes {
    let mut bytes = begin(content.len());
    bytes.put_slice(content);
    end(bytes)
}

/// Returns the content of a chunk that [`end`] made.
#[inline]
pub(crate) fn content(chunk: &[u8]) -> &[u8] {
    let start = chunk.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    chunk.get(start..chunk.len().saturating_sub(LINE_END.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_length_and_its_content() {
        for length in [1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 70_000] {
            let content: Vec<u8> = (0..length).map(|at| b"a\r\n"[at % 3]).collect();
            let chunk = of(&content);
            let expected = [format!("{length:X}\r\n").as_bytes(), &content, b"\r\n"].concat();
            assert_eq!(chunk, expected, "{length}");
            assert_eq!(super::content(&chunk), content, "{length}");
        }
    }

    #[test]
    fn empty_content_gives_no_chunk() {
        assert_eq!(of(b""), "");
        assert_eq!(content(b""), b"");
    }
}

//! Cuts: the connection breaks off at a given place.

use std::fmt;

/// Breaks the connection off at a given place of its stream, once. An SSE client then reconnects, as a browser does.
///
/// Places are counted from the start of a connection's stream: the body of an SSE response, or the bytes after the
/// handshake of a WebSocket. If one connection ends before the place, the cut applies to the next.
///
/// ```
#[doc = include_str!("../../../doc/news.md")]
/// use tornadose_test::Cut;
///
/// let ada = app.client("ada").fault(Cut::inside_event(1)).sse("/news").await;
/// ada.reconnected().await;
/// assert_transcript!(ada, @r#"
/// ada > GET /news
/// ada ~ open 200 text/event-stream
/// ada ! cut inside event #1 (10 of 39 bytes arrived)
/// after 3s
/// ada > GET /news
/// ada ~ open 200 text/event-stream
/// ada < said #1 {"text":"hi"}
/// "#);
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut(pub(crate) CutTarget);

/// The place at which a connection is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutTarget {
    Byte(usize),
    Inside(usize),
    After(usize),
}

impl Cut {
    /// Cuts when this many bytes of the stream have arrived; 0 is directly after the head of the response.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Cut::at_byte(0).to_string(), "cut at byte 0");
    /// ```
    pub fn at_byte(bytes: usize) -> Self {
        Self(CutTarget::Byte(bytes))
    }

    /// Cuts inside the nth event of the stream, counted from 1: a quarter of the event's bytes arrive.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Cut::inside_event(2).to_string(), "cut inside event 2");
    /// ```
    ///
    /// # Panics
    ///
    /// When `nth` is 0.
    pub fn inside_event(nth: usize) -> Self {
        assert!(nth > 0, "events are counted from 1");
        Self(CutTarget::Inside(nth))
    }

    /// Cuts directly after the nth event of the stream, counted from 1.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Cut::after_event(2).to_string(), "cut after event 2");
    /// ```
    ///
    /// # Panics
    ///
    /// When `nth` is 0.
    pub fn after_event(nth: usize) -> Self {
        assert!(nth > 0, "events are counted from 1");
        Self(CutTarget::After(nth))
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CutTarget::Byte(byte) => write!(f, "cut at byte {byte}"),
            CutTarget::Inside(nth) => write!(f, "cut inside event {nth}"),
            CutTarget::After(nth) => write!(f, "cut after event {nth}"),
        }
    }
}

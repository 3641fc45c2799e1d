//! Faults: what a test does to a connection. Cuts are made by `screen`, chunks and rates by the valve.

pub(crate) mod cut_scanner;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Something that goes wrong with a connection, for [`Client::fault`](crate::Client::fault) and
/// [`ClientBuilder::fault`](crate::ClientBuilder::fault): a [`Cut`], [`Chunks`], or a [`ReadRate`].
///
/// Each leaves a line in the transcript. One that was never felt fails the test at its end.
///
/// ```
/// use tornadose_test::{Chunks, Cut, Fault, ReadRate};
///
/// let faults: [Fault; 3] = [Cut::at_byte(113).into(), Chunks::of(1).into(), ReadRate::bytes_per_second(100).into()];
/// assert_eq!(faults.map(|fault| fault.to_string()).join(", "), "cut at byte 113, chunks of 1 byte, 100 bytes a second");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Cut(Cut),
    Chunks(Chunks),
    ReadRate(ReadRate),
}

/// A connection that breaks off at a stated place of its stream, once. An SSE client then comes back, as a browser does.
///
/// Places are counted from the beginning of the connection's stream: the body of an SSE answer, what follows the
/// handshake of a WebSocket. A cut that finds no place in one connection waits for the next.
///
/// ```
#[doc = include_str!("../../doc/news.md")]
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
pub struct Cut(pub(crate) Place);

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Byte(usize),
    Inside(usize),
    After(usize),
}

impl Cut {
    /// When so many bytes of the stream have arrived; 0 is right behind the head of the answer.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Cut::at_byte(0).to_string(), "cut at byte 0");
    /// ```
    pub fn at_byte(bytes: usize) -> Self {
        Self(Place::Byte(bytes))
    }

    /// Inside the nth event of the stream, from 1: a quarter of its bytes arrive.
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
        Self(Place::Inside(nth))
    }

    /// Right behind the nth event of the stream, from 1.
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
        Self(Place::After(nth))
    }
}

/// A connection whose bytes arrive in pieces, each alone, in both directions: what the client reads, and what the server
/// reads of its request and its messages.
///
/// ```
#[doc = include_str!("../../doc/news.md")]
/// use tornadose_test::Chunks;
///
/// let ada = app.client("ada").fault(Chunks::of(1)).sse("/news").await;
/// assert_eq!(ada.next_event().await.name, "said");
/// assert!(ada.recording().to_string().contains("ada ! chunks of 1 byte"));
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks(Pieces);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pieces {
    Of(usize),
    At(Vec<usize>),
    Seeded(u64),
}

impl Chunks {
    /// Pieces of so many bytes.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::of(3).to_string(), "chunks of 3 bytes");
    /// ```
    ///
    /// # Panics
    ///
    /// When it is 0.
    pub fn of(bytes: usize) -> Self {
        assert!(bytes > 0, "a piece has at least 1 byte");
        Self(Pieces::Of(bytes))
    }

    /// Borders at these places, counted each way from when the fault is set.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::at([1, 7]).to_string(), "chunks that end at bytes 1, 7");
    /// ```
    ///
    /// # Panics
    ///
    /// When there is none, and when one is 0.
    pub fn at(borders: impl IntoIterator<Item = usize>) -> Self {
        let mut borders: Vec<usize> = borders.into_iter().collect();
        borders.sort_unstable();
        assert!(borders.first().is_some_and(|first| *first > 0), "a border stands behind at least 1 byte");
        Self(Pieces::At(borders))
    }

    /// Pieces of 1 to 16 bytes, the same for the same seed.
    ///
    /// ```
    /// assert_eq!(tornadose_test::Chunks::seeded(7).to_string(), "chunks by seed 7");
    /// ```
    pub fn seeded(seed: u64) -> Self {
        Self(Pieces::Seeded(seed))
    }

    /// How many bytes may pass until the next border, when so many have.
    pub(crate) fn room(&self, passed: usize) -> usize {
        match &self.0 {
            Pieces::Of(bytes) => bytes - passed % bytes,
            Pieces::At(borders) => borders.iter().find(|border| **border > passed).map_or(usize::MAX, |at| at - passed),
            Pieces::Seeded(_) => (1..=16).find(|room| self.ends_at(passed + room)).unwrap_or(16),
        }
    }

    /// Whether a piece ends when so many bytes have passed.
    pub(crate) fn ends_at(&self, passed: usize) -> bool {
        match &self.0 {
            Pieces::Of(bytes) => passed.is_multiple_of(*bytes),
            Pieces::At(borders) => borders.contains(&passed),
            // Every sixteenth place in any case, and of those between every eighth, by the seed.
            Pieces::Seeded(seed) => passed.is_multiple_of(16) || mixed(*seed, passed).is_multiple_of(8),
        }
    }
}

/// A number that looks like chance, and is the same in every run.
fn mixed(seed: u64, place: usize) -> u64 {
    let place = u64::try_from(place).expect("a length fits 64 bits");
    let mut mixed = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A client that reads slowly, in virtual time: the server's bytes fill the pipe, and its writer waits.
///
/// ```
#[doc = include_str!("../../doc/news.md")]
/// use tornadose_test::ReadRate;
///
/// let ada = app.client("ada").fault(ReadRate::bytes_per_second(20)).sse("/news").await;
/// ada.quiet_for(Duration::from_secs(3)).await; // the head of the answer alone takes longer
/// assert_eq!(ada.next_event().await.name, "said");
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRate(u32);

impl ReadRate {
    /// So many bytes in each second of virtual time.
    ///
    /// ```
    /// assert_eq!(tornadose_test::ReadRate::bytes_per_second(100).to_string(), "100 bytes a second");
    /// ```
    ///
    /// # Panics
    ///
    /// When it is 0: that is [`stall`](crate::Client::stall).
    pub fn bytes_per_second(bytes: u32) -> Self {
        assert!(bytes > 0, "who reads nothing has stalled: `.stall().await`");
        Self(bytes)
    }

    pub(crate) fn at_once(self) -> usize {
        usize::try_from((self.0 / 10).max(1)).unwrap_or(usize::MAX)
    }

    pub(crate) fn pause_after(self, count: usize) -> Duration {
        let ms = u64::try_from(count).expect("a length fits 64 bits").saturating_mul(1000).div_ceil(u64::from(self.0));
        Duration::from_millis(ms)
    }
}

impl From<Cut> for Fault {
    fn from(cut: Cut) -> Self {
        Self(Kind::Cut(cut))
    }
}

impl From<Chunks> for Fault {
    fn from(chunks: Chunks) -> Self {
        Self(Kind::Chunks(chunks))
    }
}

impl From<ReadRate> for Fault {
    fn from(rate: ReadRate) -> Self {
        Self(Kind::ReadRate(rate))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cut(cut) => cut.fmt(f),
            Kind::Chunks(chunks) => chunks.fmt(f),
            Kind::ReadRate(rate) => rate.fmt(f),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Byte(byte) => write!(f, "cut at byte {byte}"),
            Place::Inside(nth) => write!(f, "cut inside event {nth}"),
            Place::After(nth) => write!(f, "cut after event {nth}"),
        }
    }
}

impl fmt::Display for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pieces::Of(1) => f.write_str("chunks of 1 byte"),
            Pieces::Of(bytes) => write!(f, "chunks of {bytes} bytes"),
            Pieces::At(borders) => {
                let borders: Vec<String> = borders.iter().map(ToString::to_string).collect();
                write!(f, "chunks that end at bytes {}", borders.join(", "))
            }
            Pieces::Seeded(seed) => write!(f, "chunks by seed {seed}"),
        }
    }
}

impl fmt::Display for ReadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 byte a second") } else { write!(f, "{} bytes a second", self.0) }
    }
}

/// The cuts of a client that are still to be made, and how far its connection has come.
#[derive(Clone, Default)]
pub(crate) struct Cuts {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    armed: Vec<Cut>,
    bytes: usize,
    messages: usize,
}

impl Cuts {
    /// Arms a cut; an error says that its place has passed.
    pub(crate) fn arm(&self, cut: Cut) -> Result<(), String> {
        let mut state = self.lock();
        let passed = match cut.0 {
            Place::Byte(byte) => byte <= state.bytes && state.bytes > 0,
            Place::Inside(nth) | Place::After(nth) => nth <= state.messages,
        };
        if passed {
            let (bytes, messages) = (state.bytes, state.messages);
            return Err(format!(
                "the {cut} comes too late: {bytes} bytes of the stream have arrived, with {messages} whole events; to cut the \
                 beginning of a stream, give the fault to `app.client(…)` before it opens"
            ));
        }
        state.armed.push(cut);
        Ok(())
    }

    pub(crate) fn unused(&self) -> Vec<String> {
        self.lock().armed.iter().map(ToString::to_string).collect()
    }

    /// Takes the cut that is to be made at this place.
    fn take(&self, place: Place) -> bool {
        let mut state = self.lock();
        let found = state.armed.iter().position(|cut| cut.0 == place);
        found.map(|at| state.armed.remove(at)).is_some()
    }

    fn is_armed(&self, place: Place) -> bool {
        self.lock().armed.iter().any(|cut| cut.0 == place)
    }

    fn come(&self, bytes: usize, messages: usize) {
        let mut state = self.lock();
        (state.bytes, state.messages) = (bytes, messages);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;

    #[test]
    fn seeded_pieces_have_one_to_sixteen_bytes_and_repeat() {
        let lengths = |seed| {
            let chunks = Chunks::seeded(seed);
            let mut passed = 0;
            let lengths = std::iter::repeat_with(|| {
                let room = chunks.room(passed);
                passed += room;
                room
            });
            lengths.take(200).collect::<Vec<_>>()
        };
        assert!(lengths(1).iter().all(|length| (1..=16).contains(length)));
        assert_eq!(lengths(7), lengths(7));
        assert_ne!(lengths(7), lengths(8));
    }
}

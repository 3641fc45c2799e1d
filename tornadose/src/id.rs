//! The id of a place in a log, and its text. What an id is known for is the log's affair.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// The place of a message in a log: `<epoch>-<offset>`, opaque to clients, at most 128 visible ASCII characters.
///
/// The epoch, 8 characters, names one life of the log; offsets grow within it. A client sends the newest id it has seen as
/// `Last-Event-ID` (WHATWG HTML §9.2.4) or as `?last_event_id=` and gets what came after it.
///
/// In memory an offset is a number, 1 for the first message; on Redis it is the stream entry's own `<ms>.<seq>`.
///
/// ```
/// use tornadose::Id;
///
/// for text in ["k3v0q8zd-41", "k3v0q8zd-1794200000000.3"] {
///     let id: Id = text.parse()?;
///     assert_eq!(id.to_string(), text);
/// }
/// assert!("41".parse::<Id>().is_err());
/// # Ok::<(), tornadose::IdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pub(crate) epoch: Epoch,
    pub(crate) offset: Offset,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Id {
    type Err = IdError;

    /// Reads what `Display` writes, and nothing else: no sign, no leading zero, no blank.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (epoch, offset) = text.split_once('-').ok_or(IdError)?;
        let (epoch, offset) = (epoch.parse().map_err(|_| IdError)?, offset.parse().map_err(|_| IdError)?);
        Ok(Self { epoch, offset })
    }
}

/// The text is not an id of any log.
///
/// ```
/// let error = "yesterday".parse::<tornadose::Id>().unwrap_err();
/// assert_eq!(error.to_string(), "not an id: expected `<epoch>-<offset>`, as an event of this store carried it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: expected `<epoch>-<offset>`, as an event of this store carried it")
    }
}

impl std::error::Error for IdError {}

/// Digits and lower-case letters without the four that are misread (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// One life of a log, 8 characters: ids of another are never taken for this one's.
///
/// ```
/// use tornadose::Epoch;
///
/// let epoch: Epoch = "k3v0q8zd".parse()?;
/// assert_eq!(epoch.to_string(), "k3v0q8zd");
/// assert!("KILO".parse::<Epoch>().is_err());
/// # Ok::<(), tornadose::IdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// A fresh one: 40 bits from the operating system's chance, which seeds every `RandomState`.
    ///
    /// ```
    /// use tornadose::Epoch;
    ///
    /// assert_ne!(Epoch::fresh(), Epoch::fresh());
    /// ```
    pub fn fresh() -> Self {
        let bits = RandomState::new().build_hasher().finish();
        Self(std::array::from_fn(|place| ALPHABET[(bits >> (5 * place) & 31) as usize]))
    }
}

impl FromStr for Epoch {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let epoch: [u8; 8] = text.as_bytes().try_into().map_err(|_| IdError)?;
        if epoch.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(epoch)) } else { Err(IdError) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("an epoch is ASCII"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in the order of a log, two numbers of which the first weighs more; 0 stands before the first message.
///
/// A log that only counts leaves the first number 0, and such an offset is written as the second alone.
///
/// ```
/// use tornadose::Offset;
///
/// assert!(Offset { ms: 7, seq: 0 } > Offset { ms: 6, seq: 9 });
/// assert_eq!(Offset { ms: 7, seq: 1 }.to_string(), "7.1");
/// assert_eq!(Offset { ms: 0, seq: 41 }.to_string(), "41");
/// assert_eq!("7.1".parse(), Ok(Offset { ms: 7, seq: 1 }));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// The number that weighs more; on Redis, milliseconds.
    pub ms: u64,
    /// The number that weighs less.
    pub seq: u64,
}

impl Offset {
    /// Before the first message.
    ///
    /// ```
    /// assert_eq!(tornadose::Offset::START.to_string(), "0");
    /// ```
    pub const START: Self = Self { ms: 0, seq: 0 };

    /// The smallest that is greater; the greatest there is stays itself.
    ///
    /// ```
    /// use tornadose::Offset;
    ///
    /// assert_eq!(Offset { ms: 7, seq: 1 }.next(), Offset { ms: 7, seq: 2 });
    /// assert_eq!(Offset { ms: 7, seq: u64::MAX }.next(), Offset { ms: 8, seq: 0 });
    /// ```
    #[must_use]
    pub fn next(self) -> Self {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Self { ms: self.ms, seq },
            (None, Some(ms)) => Self { ms, seq: 0 },
            (None, None) => self,
        }
    }

    /// The greatest that is smaller; 0 stays itself.
    ///
    /// ```
    /// use tornadose::Offset;
    ///
    /// assert_eq!(Offset { ms: 7, seq: 0 }.before(), Offset { ms: 6, seq: u64::MAX });
    /// assert_eq!(Offset::START.before(), Offset::START);
    /// ```
    #[must_use]
    pub fn before(self) -> Self {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Self { ms: self.ms, seq },
            (None, Some(ms)) => Self { ms, seq: u64::MAX },
            (None, None) => self,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            0 => write!(f, "{}", self.seq),
            ms => write!(f, "{ms}.{}", self.seq),
        }
    }
}

impl FromStr for Offset {
    type Err = IdError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((ms, seq)) = text.split_once('.') else { return Ok(Self { ms: 0, seq: whole(text)? }) };
        match whole(ms)? {
            0 => Err(IdError),
            ms => Ok(Self { ms, seq: whole(seq)? }),
        }
    }
}

fn whole(digits: &str) -> Result<u64, IdError> {
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| canonical).ok_or(IdError)
}

/// Text that may stand in an `id:` field: CR and LF would end the line, and a client ignores an id with NUL (WHATWG HTML §9.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdText<'a>(Cow<'a, str>);

impl IdText<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Id> for IdText<'static> {
    fn from(id: Id) -> Self {
        // At once what the longest takes: an epoch, two numbers and two signs.
        let mut text = String::with_capacity(50);
        write!(text, "{id}").expect("a string takes all");
        Self(Cow::Owned(text))
    }
}

impl<'a> TryFrom<&'a str> for IdText<'a> {
    type Error = &'static str;

    fn try_from(text: &'a str) -> Result<Self, &'static str> {
        if text.contains(['\r', '\n', '\0']) {
            Err("an id has no CR, LF or NUL")
        } else {
            Ok(Self(Cow::Borrowed(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_only_what_it_writes() {
        let (big, small) = (u64::MAX, 0);
        for (ms, seq) in [(0, 0), (0, 1), (0, big), (1, small), (big, small), (big, big)] {
            let id = Id { epoch: Epoch::fresh(), offset: Offset { ms, seq } };
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id.to_string().len() <= 128);
        }
        for text in [
            "",
            "-",
            "k3v0q8zd",
            "k3v0q8zd-",
            "k3v0q8zd-01",
            "k3v0q8zd-+1",
            "k3v0q8zd- 1",
            "K3v0q8zd-1",
            "k3v0q8zdd-1",
            "k3v0q8zd-1-1",
            "k3v0q8zd-18446744073709551616",
            "k3v0q8z\u{e9}-1",
            "k3v0q8zd-0.1",
            "k3v0q8zd-1.",
            "k3v0q8zd-.1",
            "k3v0q8zd-1.01",
            "k3v0q8zd-01.1",
            "k3v0q8zd-1.1.1",
            "k3v0q8zd-1.18446744073709551616",
        ] {
            assert_eq!(text.parse::<Id>(), Err(IdError), "{text}");
        }
    }

    #[test]
    fn epochs_differ() {
        let epochs: std::collections::HashSet<Epoch> = (0..1000).map(|_| Epoch::fresh()).collect();
        assert_eq!(epochs.len(), 1000);
    }
}

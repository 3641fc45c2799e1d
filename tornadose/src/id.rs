//! The id of a message: its epoch and its offset in the log. Ids travel to clients and back as text, which is parsed
//! here.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The position of a message in a log: `<epoch>-<offset>`, opaque to clients, visible ASCII characters.
/// Today it has at most 50; leave room for 128 where it is kept.
///
/// The epoch, 8 characters, names one incarnation of the log; offsets grow within it. A client sends the newest id it
/// has seen as `Last-Event-ID` (WHATWG HTML §9.2.4) or as `?last_event_id=`, and receives the messages after it.
///
/// In memory an offset is a number, 1 for the first message; on a Redis Stream it is the entry's own
/// `<ms>.<seq>`.
///
/// With serde an id is its text. Ids are ordered within an epoch only: ids of two epochs are neither less, equal nor
/// greater, so an id is [`PartialOrd`] and not [`Ord`].
///
/// ```
/// use tornadose::Id;
///
/// for text in ["k3v0q8zd-41", "k3v0q8zd-1794200000000.3"] {
///     let id: Id = text.parse()?;
///     assert_eq!(id.to_string(), text);
///     assert_eq!(serde_json::to_string(&id).unwrap(), format!("{text:?}"));
/// }
/// assert!("41".parse::<Id>().is_err());
///
/// let [first, second, other]: [Id; 3] = ["k3v0q8zd-1".parse()?, "k3v0q8zd-2".parse()?, "zzzzzzzz-3".parse()?];
/// assert!(first < second);
/// assert!(second.partial_cmp(&other).is_none());
/// # Ok::<(), tornadose::IdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pub(crate) epoch: Epoch,
    pub(crate) offset: Offset,
}

impl Id {
    /// An id that no log knows, so that its client is told of a gap.
    pub(crate) const NOWHERE: Self = Self { epoch: Epoch::NONE, offset: Offset::START };
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.epoch == other.epoch).then(|| self.offset.cmp(&other.offset))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Id {
    type Err = IdError;

    /// Parses the text that `Display` writes, and no other: no sign, no leading zero, no blank.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = |text: &str| {
            let (epoch, offset) = text.split_once('-')?;
            Some(Self { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
        };
        parse(text).ok_or(IdError(Expected::Id))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, `<epoch>-<offset>`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
        text.parse().map_err(E::custom)
    }
}

/// The text is not an id, or not the epoch or offset of one.
///
/// ```
/// use tornadose::Id;
/// use tornadose::backend::{Epoch, Offset};
///
/// let error = "yesterday".parse::<Id>().unwrap_err();
/// assert_eq!(error.to_string(), "not an id: expected `<epoch>-<offset>`, as in the `id` of an event");
/// let error = "today".parse::<Epoch>().unwrap_err();
/// assert_eq!(error.to_string(), "not an epoch: expected 8 digits and lower-case letters without `i`, `l`, `o` and `u`");
/// let error = "7.".parse::<Offset>().unwrap_err();
/// assert_eq!(error.to_string(), "not an offset: expected a number such as `41`, or two such as `7.1`");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError(Expected);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Id,
    Epoch,
    Offset,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Expected::Id => "not an id: expected `<epoch>-<offset>`, as in the `id` of an event",
            Expected::Epoch => "not an epoch: expected 8 digits and lower-case letters without `i`, `l`, `o` and `u`",
            Expected::Offset => "not an offset: expected a number such as `41`, or two such as `7.1`",
        })
    }
}

impl std::error::Error for IdError {}

/// Digits and lower-case letters without the four that are easily misread (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// One incarnation of a log, 8 characters. An id is only valid in its own epoch.
///
/// ```
/// use tornadose::backend::Epoch;
///
/// let epoch: Epoch = "k3v0q8zd".parse()?;
/// assert_eq!(epoch.to_string(), "k3v0q8zd");
/// assert!("KILO".parse::<Epoch>().is_err());
/// # Ok::<(), tornadose::IdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// The epoch of no log: a new one is it once in 2^40 times.
    const NONE: Self = Self(*b"00000000");

    /// Returns a new epoch: 40 random bits, seeded by the operating system as every `RandomState` is.
    ///
    /// ```
    /// use tornadose::backend::Epoch;
    ///
    /// assert_ne!(Epoch::fresh(), Epoch::fresh());
    /// ```
    pub fn fresh() -> Self {
        Self::of_bits(RandomState::new().build_hasher().finish())
    }

    /// Returns the epoch of the lowest 40 of these bits.
    pub(crate) fn of_bits(bits: u64) -> Self {
        Self(std::array::from_fn(|index| ALPHABET[(bits >> (5 * index) & 31) as usize]))
    }
}

impl FromStr for Epoch {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let epoch: [u8; 8] = text.as_bytes().try_into().map_err(|_| IdError(Expected::Epoch))?;
        if epoch.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(epoch)) } else { Err(IdError(Expected::Epoch)) }
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

/// A position in a log, made of two numbers; the major one is compared first. Offset 0 is before the first message.
///
/// A log that only counts leaves the major number 0, and such an offset is written as the minor number alone.
///
/// ```
/// use tornadose::backend::Offset;
///
/// assert!(Offset::new(7, 0) > Offset::new(6, 9));
/// assert_eq!(Offset::new(7, 1).to_string(), "7.1");
/// assert_eq!(Offset::new(0, 41).to_string(), "41");
/// assert_eq!("7.1".parse(), Ok(Offset::new(7, 1)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    major: u64,
    minor: u64,
}

impl Offset {
    /// The position before the first message.
    ///
    /// ```
    /// assert_eq!(tornadose::backend::Offset::START.to_string(), "0");
    /// ```
    pub const START: Self = Self::new(0, 0);

    /// Returns the offset of these two numbers. On Redis they are the milliseconds and the sequence number of an
    /// entry's id.
    ///
    /// ```
    /// use tornadose::backend::Offset;
    ///
    /// assert_eq!(Offset::new(0, 0), Offset::START);
    /// ```
    pub const fn new(major: u64, minor: u64) -> Self {
        Self { major, minor }
    }

    /// Returns the number that is compared first.
    ///
    /// ```
    /// assert_eq!(tornadose::backend::Offset::new(7, 1).major(), 7);
    /// ```
    pub const fn major(self) -> u64 {
        self.major
    }

    /// Returns the number that is compared when the major ones are equal.
    ///
    /// ```
    /// assert_eq!(tornadose::backend::Offset::new(7, 1).minor(), 1);
    /// ```
    pub const fn minor(self) -> u64 {
        self.minor
    }

    /// Returns the next offset, saturating.
    ///
    /// ```
    /// use tornadose::backend::Offset;
    ///
    /// assert_eq!(Offset::new(7, 1).next(), Offset::new(7, 2));
    /// assert_eq!(Offset::new(7, u64::MAX).next(), Offset::new(8, 0));
    /// ```
    #[must_use]
    pub const fn next(self) -> Self {
        match (self.minor.checked_add(1), self.major.checked_add(1)) {
            (Some(minor), _) => Self { major: self.major, minor },
            (None, Some(major)) => Self { major, minor: 0 },
            (None, None) => self,
        }
    }

    /// Returns the previous offset, saturating.
    ///
    /// ```
    /// use tornadose::backend::Offset;
    ///
    /// assert_eq!(Offset::new(7, 0).previous(), Offset::new(6, u64::MAX));
    /// assert_eq!(Offset::START.previous(), Offset::START);
    /// ```
    #[must_use]
    pub const fn previous(self) -> Self {
        match (self.minor.checked_sub(1), self.major.checked_sub(1)) {
            (Some(minor), _) => Self { major: self.major, minor },
            (None, Some(major)) => Self { major, minor: u64::MAX },
            (None, None) => self,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.major {
            0 => write!(f, "{}", self.minor),
            major => write!(f, "{major}.{}", self.minor),
        }
    }
}

impl FromStr for Offset {
    type Err = IdError;

    /// Parses the text that `Display` writes, and no other.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((major, minor)) = text.split_once('.') else { return Ok(Self::new(0, parse_number(text)?)) };
        match parse_number(major)? {
            0 => Err(IdError(Expected::Offset)),
            major => Ok(Self::new(major, parse_number(minor)?)),
        }
    }
}

fn parse_number(digits: &str) -> Result<u64, IdError> {
    let is_canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_canonical).ok_or(IdError(Expected::Offset))
}

/// Text that is safe in an `id:` field: CR and LF would end the field.
// WHATWG HTML §9.2.6: a client ignores an id with NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdText<'a>(Cow<'a, str>);

/// The longest text of an [`Id`]: an epoch, two numbers of 20 digits, `-` and `.`.
const ID_TEXT_MAX: usize = 8 + 2 * 20 + 2;

impl IdText<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Id> for IdText<'static> {
    fn from(id: Id) -> Self {
        let mut text = String::with_capacity(ID_TEXT_MAX);
        write!(text, "{id}").expect("writing to a string cannot fail");
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
    fn an_id_parses_only_the_text_that_it_writes() {
        const BIG: u64 = u64::MAX;
        for (major, minor) in [(0, 0), (0, 1), (0, BIG), (1, 0), (BIG, 0), (BIG, BIG)] {
            let id = Id { epoch: Epoch::fresh(), offset: Offset::new(major, minor) };
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id.to_string().len() <= ID_TEXT_MAX);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<Id>(&json).unwrap(), id);
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
            assert_eq!(text.parse::<Id>(), Err(IdError(Expected::Id)), "{text}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Id>(&json).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_ordered_within_an_epoch() {
        let epoch = Epoch::fresh();
        let id = |epoch, minor| Id { epoch, offset: Offset::new(0, minor) };
        assert!(id(epoch, 1) < id(epoch, 2));
        assert_eq!(id(epoch, 1).partial_cmp(&id(epoch, 1)), Some(Ordering::Equal));
        assert_eq!(id(epoch, 1).partial_cmp(&id(Epoch::fresh(), 2)), None);
    }

    #[test]
    fn epochs_differ() {
        let epochs: std::collections::HashSet<Epoch> = (0..1000).map(|_| Epoch::fresh()).collect();
        assert_eq!(epochs.len(), 1000);
    }
}

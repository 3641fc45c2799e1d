//! The id of a place in a log, and its text. What an id is known for is the log's affair.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// The place of a message in a log: `<epoch>-<offset>`, opaque to clients, at most 128 visible ASCII characters.
///
/// The epoch, 8 characters, names one life of the log; offsets grow within it. A client sends the newest id it has seen as
/// `Last-Event-ID` (WHATWG HTML §9.2.4) or as `?last_event_id=` and gets what came after it.
///
/// ```
/// use tornadose::Id;
///
/// let id: Id = "k3v0q8zd-41".parse()?;
/// assert_eq!(id.to_string(), "k3v0q8zd-41");
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
        write!(f, "{}-{}", self.epoch, self.offset.0)
    }
}

impl FromStr for Id {
    type Err = IdError;

    /// Reads what `Display` writes, and nothing else: no sign, no leading zero, no blank.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (epoch, offset) = text.split_once('-').ok_or(IdError)?;
        let epoch: [u8; 8] = epoch.as_bytes().try_into().map_err(|_| IdError)?;
        let canonical = offset == "0" || !offset.starts_with(['0', '+']);
        if !canonical || !epoch.iter().all(|byte| ALPHABET.contains(byte)) {
            return Err(IdError);
        }
        let offset = offset.parse().map(Offset).map_err(|_| IdError)?;
        Ok(Self { epoch: Epoch(epoch), offset })
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

/// One life of a log: ids of another are never taken for this one's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Epoch([u8; 8]);

impl Epoch {
    /// A fresh one: 40 bits from the operating system's chance, which seeds every `RandomState`.
    pub(crate) fn fresh() -> Self {
        let bits = RandomState::new().build_hasher().finish();
        Self(std::array::from_fn(|place| ALPHABET[(bits >> (5 * place) & 31) as usize]))
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

/// A place in the order of a log; 0 stands before the first message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Offset(pub(crate) u64);

impl Offset {
    pub(crate) const START: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
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
        Self(Cow::Owned(id.to_string()))
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
        let id = Id { epoch: Epoch::fresh(), offset: Offset(u64::MAX) };
        assert_eq!(id.to_string().parse(), Ok(id));
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

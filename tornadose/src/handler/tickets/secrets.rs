//! The secrets with which tickets are signed, by HMAC with SHA-256 (RFC 2104 §2).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shortest secret, in bytes: as long as the hash, by RFC 2104 §3.
const LENGTH_MIN: usize = 32;

/// Why tickets cannot be signed with the secrets of a program.
///
/// ```
/// use tornadose::{SecretError, Tickets};
///
/// let short = Tickets::<u64>::new(["guess me"]).unwrap_err();
/// assert_eq!(short, SecretError::Short { length: 8 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// There is none.
    None,
    /// One is too short.
    Short {
        /// Its length, in bytes.
        length: usize,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no secret is given; pass at least one"),
            Self::Short { length } => {
                write!(
                    f,
                    "a secret has {length} bytes; make one of at least {LENGTH_MIN}, as by `openssl rand -hex 32`"
                )
            }
        }
    }
}

impl std::error::Error for SecretError {}

/// At least one secret. The first signs.
pub(super) struct Secrets(Vec<Hmac<Sha256>>);

impl Secrets {
    pub(super) fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, SecretError> {
        let with_secret = |secret: S| match secret.as_ref() {
            secret if secret.len() < LENGTH_MIN => Err(SecretError::Short { length: secret.len() }),
            secret => Ok(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")),
        };
        let secrets = secrets.into_iter().map(with_secret).collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() { Err(SecretError::None) } else { Ok(Self(secrets)) }
    }

    /// Returns the signature of a content for a path.
    pub(super) fn sign(&self, path: &str, content: &str) -> [u8; 32] {
        with_parts(&self.0[0], path, content).finalize().into_bytes().into()
    }

    /// Returns whether the signature of a content for a path was made with one of the secrets.
    pub(super) fn is_signed(&self, path: &str, content: &str, signature: &[u8]) -> bool {
        // The comparison takes the same time wherever the two differ.
        self.0.iter().any(|secret| with_parts(secret, path, content).verify_slice(signature).is_ok())
    }
}

/// Returns the state of a signature after both parts. The length keeps them apart.
fn with_parts(secret: &Hmac<Sha256>, path: &str, content: &str) -> Hmac<Sha256> {
    let length = (path.len() as u64).to_be_bytes();
    secret.clone().chain_update(length).chain_update(path).chain_update(content)
}

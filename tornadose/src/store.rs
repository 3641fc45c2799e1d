//! Stub: the handle, its log is being written.
pub(crate) mod id;

use crate::message::Message;
use std::marker::PhantomData;

/// Bytes that each kept message and key is charged with beside its encodings.
pub const OVERHEAD: usize = 256;

/// Stub.
pub struct Store<M: Message>(PhantomData<M>);
impl<M: Message> Store<M> {
    /// Stub.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}
impl<M: Message> Clone for Store<M> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

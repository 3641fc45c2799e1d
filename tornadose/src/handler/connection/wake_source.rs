//! The sources that wake the task of a connection, besides its store. The task polls a source only after a wake by
//! it, because polling a timer or a socket costs as much as a delivery.
//!
//! Poll each source with its waker from [`Reader::waker_for`](crate::store::reader::Reader::waker_for). With any
//! other waker the task would be woken without the source being marked, and the source would not be polled.

use crate::store::reader::mailbox::WakeFlag;

#[derive(Clone, Copy)]
pub(crate) enum WakeSource {
    Timer,
    Socket,
}

impl From<WakeSource> for WakeFlag {
    #[inline]
    fn from(source: WakeSource) -> Self {
        match source {
            // Every connection has a timer, so it gets the flag whose waker needs no allocation.
            WakeSource::Timer => Self::First,
            WakeSource::Socket => Self::Second,
        }
    }
}

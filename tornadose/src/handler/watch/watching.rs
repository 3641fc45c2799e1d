//! A subscriber whose client watches keys.

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::served::Served;
use crate::handler::watch::watches::Watches;
use crate::message::Message;
use crate::store::Store;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;

/// A subscriber, and the keys that its client watches.
pub(crate) struct Watching<T: Served> {
    served: CatchDrop<T>,
    watches: Watches<T::Message>,
}

impl<T: Served> Watching<T> {
    pub(crate) fn new(served: CatchDrop<T>, watches: Watches<T::Message>) -> Self {
        Self { served, watches }
    }
}

impl<T: Served> Served for Watching<T> {
    type Message = T::Message;

    const WATCHES: bool = true;

    #[inline]
    fn filter(&self, message: &T::Message) -> bool {
        self.served.filter(message)
    }

    fn receive(
        &mut self,
        text: &str,
        store: &Store<T::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        self.served.receive(text, store)
    }

    #[inline]
    fn watches_mut(&mut self) -> Option<&mut Watches<T::Message>> {
        Some(&mut self.watches)
    }

    fn parse_key(json: &str) -> Option<<T::Message as Message>::Key> {
        T::parse_key(json)
    }

    fn watch(
        &mut self,
        key: &<T::Message as Message>::Key,
        store: &Store<T::Message>,
    ) -> impl Future<Output = Result<(), String>> + Send {
        self.served.watch(key, store)
    }
}

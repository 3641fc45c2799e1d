//! What a connection that is served needs of its subscriber.

use crate::message::Message;
use crate::store::Store;
use crate::subscriber::Subscriber;
use crate::subscriber::close::ReceiveError;
use crate::subscriber::reply::Reply;

/// The subscriber of a connection that is served. A type that adds to a subscriber is one too.
pub(crate) trait Served: Send + Sync + 'static {
    type Message: Message;

    /// As [`Subscriber::filter`].
    fn filter(&self, message: &Self::Message) -> bool;

    /// As [`Subscriber::receive`].
    fn receive(
        &mut self,
        text: &str,
        store: &Store<Self::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send;
}

impl<S: Subscriber> Served for S {
    type Message = S::Message;

    #[inline]
    fn filter(&self, message: &S::Message) -> bool {
        Subscriber::filter(self, message)
    }

    fn receive(
        &mut self,
        text: &str,
        store: &Store<S::Message>,
    ) -> impl Future<Output = Result<Option<Reply>, ReceiveError>> + Send {
        Subscriber::receive(self, text, store)
    }
}

//! Stub.
pub(crate) mod extract;

use crate::store::Store;
use crate::subscriber::Subscriber;
use std::marker::PhantomData;

/// Stub.
pub struct Live<S>(PhantomData<S>);
impl<S: Subscriber> Live<S> {
    /// Stub.
    pub fn new(_: &Store<S::Message>) -> Self {
        Self(PhantomData)
    }
}
#[salvo::async_trait]
impl<S: Subscriber> salvo::Handler for Live<S> {
    async fn handle(
        &self,
        _: &mut salvo::Request,
        _: &mut salvo::Depot,
        _: &mut salvo::Response,
        _: &mut salvo::FlowCtrl,
    ) {
    }
}

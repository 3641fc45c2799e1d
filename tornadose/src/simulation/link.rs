//! The engine as one process reaches it. A cheap clone.

use std::sync::Arc;

use crate::simulation::state::{LinkState, Shared};

#[derive(Clone)]
pub(super) struct ProcessLink {
    pub(super) engine: Arc<Shared>,
    /// The index of the process at the engine.
    pub(super) index: usize,
}

impl ProcessLink {
    pub(super) fn new(engine: &Arc<Shared>, name: String) -> Self {
        let index = engine.change(|state| {
            state.links.push(LinkState::new(name));
            state.links.len() - 1
        });
        Self { engine: Arc::clone(engine), index }
    }

    pub(super) fn name(&self) -> String {
        self.read(|link| link.name.clone())
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&LinkState) -> T) -> T {
        read(&self.engine.lock().links[self.index])
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut LinkState)) {
        self.engine.change(|state| change(&mut state.links[self.index]));
    }

    async fn wait_for<T>(&self, mut test: impl FnMut(&LinkState) -> Option<T>) -> T {
        self.engine.wait_for(|state| test(&state.links[self.index])).await
    }

    /// Waits until the engine accepts connections, and returns the number of this one.
    pub(super) async fn connected(&self) -> u64 {
        self.wait_for(|link| link.is_connected.then_some(link.cuts)).await
    }

    /// Waits until this connection is lost.
    pub(super) async fn lost(&self, connection: u64) {
        self.wait_for(|link| link.is_lost(connection).then_some(())).await;
    }

    /// Waits until the process, which was killed so often, is killed once more.
    pub(super) async fn killed(&self, kills: u64) {
        self.wait_for(|link| (link.kills != kills).then_some(())).await;
    }

    /// Waits until the engine refuses no messages.
    pub(super) async fn accepting(&self) {
        self.wait_for(|link| link.refusal.is_none().then_some(())).await;
    }
}

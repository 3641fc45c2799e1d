//! The first load of a connection, before its response head.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use salvo::http::StatusError;
use tokio::time::timeout;

use crate::handler::connection::record::CloseReason;
use crate::handler::endpoint::Endpoint;
use crate::handler::feed::Feed;
use crate::handler::feed::format::Format;
use crate::handler::lifecycle::HookName;
use crate::handler::load::failure::LoadFailure;
use crate::handler::load::hook;
use crate::handler::load::loads::{LoadPhase, Loads};
use crate::handler::open::Rejection;
use crate::handler::served::Served;
use crate::message::Message;
use crate::store::end::{EndReason, EndState};

/// How long a connection waits for its turn before its response head, where no keep-alive says so.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a connection is not opened.
pub(crate) enum NotLoaded {
    Failed(LoadFailure),
    /// Its reader has to end.
    Ended(EndReason),
}

impl NotLoaded {
    pub(crate) fn close_reason(&self) -> CloseReason {
        match self {
            Self::Failed(failure) => failure.close_reason(),
            Self::Ended(end) => CloseReason::Ended(*end),
        }
    }

    /// Returns the response. `busy` makes that of a handler which is full.
    pub(crate) fn into_rejection(self, busy: impl FnOnce() -> Rejection) -> Rejection {
        match self {
            Self::Failed(LoadFailure::Refused(error)) if error.code.is_client_error() => error.into(),
            Self::Failed(LoadFailure::Panicked | LoadFailure::InvalidMessage) => {
                StatusError::internal_server_error().into()
            }
            Self::Failed(LoadFailure::Refused(_) | LoadFailure::TimedOut) | Self::Ended(_) => busy(),
        }
    }
}

impl<M: Message> Endpoint<M> {
    /// Loads what a connection is sent first.
    ///
    /// A connection that goes on after a known id loads nothing. One loads only after its head if the place where its
    /// reader goes on is not decided yet, or if its turn has not come by the time of a keep-alive: a proxy would take
    /// longer silence for a server that is gone.
    pub(crate) async fn load_first<F: Format>(
        &self,
        feed: &mut Feed<M>,
        subscriber: &dyn Served<M>,
        name: HookName,
    ) -> Result<Loads<M>, NotLoaded> {
        let mut loads = Loads::new(feed.reader(), self.settings.options.replay);
        let keys = feed.reader().own_keys();
        if self.kind.watches() && keys.as_ref().is_some_and(Vec::is_empty) {
            loads.begin_without_keys();
        }
        if !matches!(loads.phase, LoadPhase::Due) || !feed.report_gaps::<F>() {
            return Ok(loads);
        }
        let keys = keys.unwrap_or_default();
        let turn_timeout = self.settings.options.keep_alive.unwrap_or(TURN_TIMEOUT);
        let turn = tokio::select! {
            biased;
            end = ended(feed) => return Err(NotLoaded::Ended(end)),
            turn = timeout(turn_timeout, Arc::clone(&self.load_turns).acquire_owned()) => turn,
        };
        let Ok(turn) = turn else { return Ok(loads) };
        let result = tokio::select! {
            biased;
            end = ended(feed) => return Err(NotLoaded::Ended(end)),
            result = hook::run(subscriber, &keys, &self.store, name) => result,
        };
        drop(turn);
        let loaded = result.map_err(NotLoaded::Failed)?;
        catch_unwind(AssertUnwindSafe(|| feed.check_loaded(&loaded.messages)))
            .unwrap_or_else(|_| {
                name.log_panic();
                Err(LoadFailure::Panicked)
            })
            .map_err(NotLoaded::Failed)?;
        loads.record_start(loaded.started_at);
        loads.phase = LoadPhase::Loaded(loaded);
        Ok(loads)
    }
}

/// Resolves when the reader is told to end.
async fn ended<M: Message>(feed: &mut Feed<M>) -> EndReason {
    poll_fn(|cx| match feed.poll_ended(cx.waker()) {
        Some(EndState::Draining(end) | EndState::Due(end)) => Poll::Ready(end),
        None => Poll::Pending,
    })
    .await
}

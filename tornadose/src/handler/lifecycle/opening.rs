//! A connection while its `opened` hook runs, and how it is ended meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::handler::connection::catch_drop::CatchDrop;
use crate::handler::connection::control::Control;
use crate::handler::connection::record::CloseReason;
use crate::handler::connection::registry::{Permits, Registration};
use crate::handler::lifecycle::hooked::{ClosedHook, Hooked};
use crate::handler::lifecycle::{HookName, HookPermits, Hooks};
use crate::handler::served::{Served, ServedWithHooks};
use crate::message::Message;
use crate::store::Store;
use crate::store::end::EndReason;
use crate::store::reader::handle::ReaderHandle;
use crate::subscriber::close::Close;
use crate::task;

const OPENED_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an `opened` hook refused its connection.
pub(crate) enum OpenedError {
    Refused(Close),
    TimedOut,
    Panicked,
}

impl OpenedError {
    pub(crate) fn close_reason(&self) -> CloseReason {
        match self {
            Self::Refused(_) => CloseReason::Refused,
            Self::TimedOut => CloseReason::TimedOut,
            Self::Panicked => CloseReason::Panicked,
        }
    }
}

/// A connection whose `opened` hook has ended.
pub(crate) struct AfterOpened<M: Message> {
    pub(crate) outcome: Result<CatchDrop<dyn Served<M>>, OpenedError>,
    /// `None` when the connection was aborted meanwhile.
    pub(crate) permits: Option<Permits>,
}

/// A subscriber with hooks, whose connection opens.
pub(crate) struct Opening<M: Message> {
    pub(crate) subscriber: CatchDrop<dyn ServedWithHooks<M>>,
    pub(crate) hooks: Hooks,
    pub(crate) store: Store<M>,
    pub(crate) transport: &'static str,
    pub(crate) number: u64,
    pub(crate) held: HeldPermits<M>,
}

impl<M: Message> Opening<M> {
    /// Runs the hook in a task of its own, which goes on when this future is dropped. If the hook then returns `Ok`, the
    /// task drops the subscriber, so that its `closed` hook follows.
    pub(crate) async fn complete(self) -> AfterOpened<M> {
        if !self.hooks.has_opened {
            return self.run().await;
        }
        let name = self.name();
        let (opened, after) = oneshot::channel();
        let task = task::spawn(Box::pin(async move {
            // When the connection is gone, the subscriber is dropped here.
            drop(opened.send(self.run().await));
        }));
        let result = task.await;
        if let Ok(after) = after.await {
            return after;
        }
        // The hook's future panicked when it was dropped. Otherwise the runtime has ended.
        if result.is_err_and(|error| error.is_panic()) {
            name.log_panic();
        }
        AfterOpened { outcome: Err(OpenedError::Panicked), permits: None }
    }

    /// Returns where to set the connection's control. To be called before the hook runs.
    pub(crate) fn registration(&self, reader: ReaderHandle<M>) -> OpeningRegistration<M> {
        let registration = self.held.lock().as_ref().map(|held| held.permits.registration());
        OpeningRegistration { registration, reader, held: Arc::downgrade(&self.held.0) }
    }

    fn name(&self) -> HookName {
        HookName { hook: "opened", transport: self.transport, number: self.number }
    }

    async fn run(self) -> AfterOpened<M> {
        let name = self.name();
        let Self { mut subscriber, hooks, store, held, .. } = self;
        let outcome = if hooks.has_opened {
            let hook = AssertUnwindSafe(subscriber.opened(&store)).catch_unwind();
            match timeout(OPENED_TIMEOUT, hook).await {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(close))) => {
                    name.count_refusal();
                    Err(OpenedError::Refused(close))
                }
                Ok(Err(_)) => {
                    name.log_panic();
                    Err(OpenedError::Panicked)
                }
                Err(_) => {
                    name.log_timeout();
                    Err(OpenedError::TimedOut)
                }
            }
        } else {
            Ok(())
        };
        let (permits, hook_permits) = match held.take() {
            Some(Held { permits, hook_permits }) => (Some(permits), hook_permits),
            None => (None, None),
        };
        let outcome = outcome.map(|()| {
            let subscriber = subscriber.into_inner();
            if !hooks.has_closed {
                return CatchDrop::new(subscriber as Box<dyn Served<M>>);
            }
            let (runtime, name) = (Handle::current(), HookName { hook: "closed", ..name });
            let closed = ClosedHook { store, runtime, name, permits: hook_permits };
            CatchDrop::new(Box::new(Hooked::new(subscriber, closed)) as Box<dyn Served<M>>)
        });
        AfterOpened { outcome, permits }
    }
}

/// The permits of a connection while its `opened` hook runs, in the hook's task. An abort takes them away, so that a store
/// and a server that close do not wait for a hook that hangs.
pub(crate) struct HeldPermits<M: Message>(Arc<Mutex<Option<Held<M>>>>);

struct Held<M: Message> {
    permits: Permits,
    hook_permits: Option<HookPermits<M>>,
}

impl<M: Message> HeldPermits<M> {
    pub(crate) fn new(permits: Permits, hook_permits: Option<HookPermits<M>>) -> Self {
        Self(Arc::new(Mutex::new(Some(Held { permits, hook_permits }))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Held<M>> {
        self.lock().take()
    }
}

/// Where the control of a connection with hooks is set.
pub(crate) struct OpeningRegistration<M: Message> {
    registration: Option<Registration>,
    reader: ReaderHandle<M>,
    held: Weak<Mutex<Option<Held<M>>>>,
}

impl<M: Message> OpeningRegistration<M> {
    /// Sets the control. `transport` is the control that the connection has once the hook has run.
    pub(crate) fn set_control(self, transport: impl Control + 'static) {
        let Self { registration, reader, held } = self;
        if let Some(registration) = registration {
            registration.set_control(OpeningControl { transport, reader, held });
        }
    }
}

/// Controls a connection whose `opened` hook runs, and from then on as its transport does.
struct OpeningControl<C, M: Message> {
    transport: C,
    reader: ReaderHandle<M>,
    /// Weak, because the permits lead to this.
    held: Weak<Mutex<Option<Held<M>>>>,
}

impl<C, M: Message> OpeningControl<C, M> {
    fn held(&self) -> Option<HeldPermits<M>> {
        self.held.upgrade().map(HeldPermits)
    }

    fn is_opening(&self) -> bool {
        self.held().is_some_and(|held| held.lock().is_some())
    }
}

impl<C: Control, M: Message> Control for OpeningControl<C, M> {
    fn end(&self, reason: EndReason) {
        self.transport.end(reason);
    }

    fn abort(&self, reason: CloseReason) {
        // A statement of its own, so that nothing is dropped under the lock.
        let held = self.held().and_then(|held| held.take());
        drop(held);
        self.transport.abort(reason);
    }

    /// The time of a hook is no stall.
    fn unread_since(&self) -> Option<Instant> {
        if self.is_opening() { None } else { self.transport.unread_since() }
    }

    /// Nothing is read while the hook runs, so the reader does not end by itself.
    fn end_due(&self) -> Option<(Instant, EndReason)> {
        if self.is_opening() { self.reader.end_due() } else { self.transport.end_due() }
    }
}

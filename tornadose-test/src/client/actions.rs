//! Actions of a test on a client's connection: stall, vanish, cut, half-close, and other faults.

use std::future::Future;
use std::panic::Location;

use crate::client::Client;
use crate::client::connection::pipe_control::PipeControl;
use crate::client::faults::{Fault, FaultKind};
use crate::entry::{CutPoint, Happening};
use crate::journal::client_state::ClientState;
use crate::runtime::current::settle;

impl Client {
    /// Stops reading, as a slow client does: the server's bytes fill the pipe. [`resume`](Self::resume) ends the stall.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.stall().await;
    /// app.advance(Duration::from_secs(300)).await;
    /// news.resume().await;
    /// assert_eq!(news.next_now::<u32>().await, 2);
    /// # news.closed().await;
    /// # });
    /// ```
    pub async fn stall(&self) {
        self.control_pipe("stall", PipeControl::stall).await;
    }

    /// Reads again after [`stall`](Self::stall).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.stall().await;
    /// app.advance(Duration::from_secs(30)).await;
    /// news.resume().await;
    /// assert_eq!(news.next_now::<u32>().await, 2);
    /// # });
    /// ```
    pub async fn resume(&self) {
        self.control_pipe("resume", PipeControl::resume).await;
    }

    /// Vanishes, as a phone in a tunnel does: the connection stays open, but the client reads and writes nothing more.
    /// The server is not notified.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.vanish().await;
    /// app.advance(Duration::from_secs(300)).await;
    /// # });
    /// ```
    pub async fn vanish(&self) {
        self.control_pipe("vanish", PipeControl::vanish).await;
    }

    /// Breaks off the connection at once. An SSE client reconnects, as a browser does.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let ada = app.client("ada").sse("/news").await;
    /// ada.cut().await;
    /// ada.reconnected().await;
    /// assert_transcript!(ada, @r#"
    /// ada > GET /news
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// ada ! cut
    /// after 3s
    /// ada > GET /news last-event-id #1
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// "#);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no connection.
    #[track_caller]
    pub fn cut(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            settle().await;
            if self.with_state(|state| state.disconnected || state.ending.is_some()) {
                self.fail_at(at, &format!("`{}` has no connection to cut", self.name()));
            }
            self.with_state(ClientState::mark_cut);
            self.log.record(Happening::Cut(CutPoint::Now));
            self.pipe_control.cut();
            settle().await;
        }
    }

    /// Closes the client's sending direction and keeps reading: the half-close of TCP.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.half_close().await;
    /// assert_eq!(news.closed().await, Ending::Abort); // this server then closes the connection
    /// # });
    /// ```
    pub async fn half_close(&self) {
        self.control_pipe("half-close", PipeControl::half_close).await;
    }

    /// Sets a fault: a [`Cut`](crate::Cut), [`Chunks`](crate::Chunks) or a [`ReadRate`](crate::ReadRate). For a fault
    /// at the start of a stream see [`ClientBuilder::fault`](crate::ClientBuilder::fault).
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// use tornadose_test::Cut;
    ///
    /// let ada = app.client("ada").sse("/news").await;
    /// ada.fault(Cut::inside_event(2)).await;
    /// ada.reconnected().await;
    /// assert_transcript!(ada, @r#"
    /// ada > GET /news
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// after 30s
    /// ada ! cut inside event 2 (3 of 9 bytes arrived)
    /// after 3s
    /// ada > GET /news last-event-id #1
    /// ada ~ open 200 text/event-stream
    /// ada < said #1 {"text":"hi"}
    /// "#);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the stream has passed the place of a cut.
    #[track_caller]
    pub fn fault(&self, fault: impl Into<Fault>) -> impl Future<Output = ()> + Send {
        let (at, fault) = (Location::caller(), fault.into());
        async move {
            settle().await;
            if let Err(error) = self.set_fault(fault) {
                self.fail_at(at, &format!("`{}`: {error}", self.name()));
            }
            settle().await;
        }
    }

    /// Sets a fault, and records it. A cut is recorded when it is made.
    pub(crate) fn set_fault(&self, fault: Fault) -> Result<(), String> {
        let action = fault.to_string();
        match fault.0 {
            FaultKind::Cut(cut) => return self.cuts.arm(cut),
            FaultKind::Chunks(chunks) => self.pipe_control.set_chunks(chunks),
            FaultKind::ReadRate(rate) => self.pipe_control.set_read_rate(rate),
        }
        self.log.record(Happening::Action(action));
        Ok(())
    }

    async fn control_pipe(&self, action: &'static str, apply: fn(&PipeControl)) {
        settle().await;
        self.log.record(Happening::Action(action.to_owned()));
        apply(&self.pipe_control);
        settle().await;
    }
}

//! What a test does to a client's connection: slow, stop, break, and set faults.

use std::future::Future;
use std::panic::Location;

use crate::client::Client;
use crate::client::connection::pipe_control::Valve;
use crate::client::faults::{Fault, Kind};
use crate::entry::{Severed, What};
use crate::journal::client_state::Seat;
use crate::runtime::settle;

impl Client {
    /// Stops reading, as a slow client does: the server's bytes fill the pipe. [`resume`](Self::resume) reads on.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.stall().await;
    /// news.quiet_for(Duration::from_secs(300)).await;
    /// news.resume().await;
    /// assert_eq!(news.next_now::<u32>().await, 2);
    /// # });
    /// ```
    pub async fn stall(&self) {
        self.deed("stall", Valve::stall).await;
    }

    /// Reads on after [`stall`](Self::stall).
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
        self.deed("resume", Valve::resume).await;
    }

    /// Vanishes, as a phone in a tunnel does: the connection stays, nothing is read or written any more, and nobody is
    /// told.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.vanish().await;
    /// news.quiet_for(Duration::from_secs(300)).await;
    /// # });
    /// ```
    pub async fn vanish(&self) {
        self.deed("vanish", Valve::vanish).await;
    }

    /// Breaks the connection off, here and now. An SSE client comes back, as a browser does.
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
            if self.look(|seat| seat.gone || seat.ending.is_some()) {
                self.fail_at(at, &format!("`{}` has no connection that could be cut", self.name()));
            }
            self.look(Seat::cut);
            self.record.note(self.number, What::Cut(Severed::Now));
            self.valve.cut();
            settle().await;
        }
    }

    /// Says that it will send nothing more, and reads on: the half-close of TCP.
    ///
    /// ```
    #[doc = include_str!("../../doc/news.md")]
    /// let news = app.sse("/news").await;
    /// news.skip(1).await;
    /// news.half_close().await;
    /// # });
    /// ```
    pub async fn half_close(&self) {
        self.deed("half-close", Valve::half_close).await;
    }

    /// Sets a fault: a [`Cut`](crate::Cut), [`Chunks`](crate::Chunks) or a [`ReadRate`](crate::ReadRate). For the
    /// beginning of a stream see [`ClientBuilder::fault`](crate::ClientBuilder::fault).
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
    /// When a cut comes too late: its place has passed.
    #[track_caller]
    pub fn fault(&self, fault: impl Into<Fault>) -> impl Future<Output = ()> + Send {
        let (at, fault) = (Location::caller(), fault.into());
        async move {
            settle().await;
            if let Err(late) = self.set(fault) {
                self.fail_at(at, &format!("`{}`: {late}", self.name()));
            }
            settle().await;
        }
    }

    /// Sets a fault; a cut leaves its line when it is made.
    pub(crate) fn set(&self, fault: Fault) -> Result<(), String> {
        let deed = fault.to_string();
        match fault.0 {
            Kind::Cut(cut) => return self.cuts.arm(cut),
            Kind::Chunks(chunks) => self.valve.split(chunks),
            Kind::ReadRate(rate) => self.valve.slow(rate),
        }
        self.record.note(self.number, What::Deed(deed));
        Ok(())
    }

    async fn deed(&self, deed: &'static str, turn: fn(&Valve)) {
        settle().await;
        self.record.note(self.number, What::Deed(deed.to_owned()));
        turn(&self.valve);
        settle().await;
    }
}

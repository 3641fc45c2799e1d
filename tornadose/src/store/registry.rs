//! Who reads a log: each reader's seat, who waits for what, and whom to end. What there is to read is the log's affair.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::time::Instant;

use crate::id::Offset;
use crate::store::entry::Entry;
use crate::store::log::merge::View;
use crate::store::reader::mailbox::Rest;

/// Why a reader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The store was closed.
    Closed,
    /// The server that carries the connection stops.
    Stopping,
    /// The store's owner has disconnected the reader's key.
    Disconnected,
    /// It lagged, and was declared to end then.
    Lagged,
}

impl End {
    /// Whether the reader still gets what was appended before: the last messages of a store are not lost to its end.
    pub(crate) fn lets_read_on(self) -> bool {
        matches!(self, Self::Closed | Self::Stopping)
    }

    /// What a log line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stopping => "stopping",
            Self::Disconnected => "disconnected",
            Self::Lagged => "lagged",
        }
    }
}

/// A reader's ticket: its number in order of subscription, and its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    number: u64,
    seat: usize,
}

struct Seat<M> {
    number: u64,
    rest: Arc<Rest<M>>,
    /// The turn of the log in which it was handed all there was.
    turn: u64,
    /// Whether it may have to hear of a message; one that is to ask, or waits for its end alone, has not.
    hungry: bool,
    end: Option<End>,
    connection: bool,
}

/// Who is to be woken, in order, and what is to be dropped after unlocking: a message's own `Drop` may call the store.
pub(crate) struct Woken<M> {
    wakers: Vec<Waker>,
    stale: Vec<Arc<Entry<M>>>,
}

impl<M> Default for Woken<M> {
    fn default() -> Self {
        Self { wakers: Vec::new(), stale: Vec::new() }
    }
}

impl<M> Woken<M> {
    /// Wakes them. The store must not be locked: a woken reader's first act may be to lock it.
    pub(crate) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        drop(self.stale);
    }
}

/// Seats stand in order of subscription, which is the order in which readers are woken.
pub(crate) struct Readers<M> {
    seats: Slab<Seat<M>>,
    next_number: u64,
    of_topic: Vec<Vec<Ticket>>,
    of_all: Vec<Ticket>,
    /// Who waits for a log to come as far as its id, by that place.
    awaiting: BTreeMap<(Offset, u64), Ticket>,
    connections: usize,
}

impl<M> Readers<M> {
    pub(crate) fn new() -> Self {
        Self {
            seats: Slab::new(),
            next_number: 0,
            of_topic: Vec::new(),
            of_all: Vec::new(),
            awaiting: BTreeMap::new(),
            connections: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn count_of(&self, topic: usize) -> usize {
        self.of_topic.get(topic).map_or(0, Vec::len)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    pub(crate) fn enter(&mut self, view: &View, connection: bool, end: Option<End>, rest: &Arc<Rest<M>>) -> Ticket {
        self.next_number += 1;
        self.connections += usize::from(connection);
        let seat = self.seats.insert(Seat {
            number: self.next_number,
            rest: Arc::clone(rest),
            turn: 0,
            hungry: false,
            end,
            connection,
        });
        let ticket = Ticket { number: self.next_number, seat };
        for &topic in view.topics() {
            if self.of_topic.len() <= topic {
                self.of_topic.resize_with(topic + 1, Vec::new);
            }
            self.of_topic[topic].push(ticket);
        }
        if matches!(view, View::All) {
            self.of_all.push(ticket);
        }
        ticket
    }

    pub(crate) fn leave(&mut self, view: &View, ticket: Ticket) {
        for &topic in view.topics() {
            let holders = &mut self.of_topic[topic];
            remove(holders, ticket);
            if holders.is_empty() {
                *holders = Vec::new();
            }
        }
        if matches!(view, View::All) {
            remove(&mut self.of_all, ticket);
        }
        self.awaiting.retain(|_, waiting| *waiting != ticket);
        let seat = self.seats.remove(ticket.seat);
        self.connections -= usize::from(seat.connection);
    }

    #[inline]
    pub(crate) fn end_of(&self, ticket: Ticket) -> Option<End> {
        self.seats[ticket.seat].end
    }

    /// Notes that the reader comes to read, and when that is.
    pub(crate) fn moves(&self, ticket: Ticket) -> Instant {
        self.seats[ticket.seat].rest.moves()
    }

    /// Since when a reader that is owed something has not come for it; none while it waits for more.
    pub(crate) fn owed_since(&self, ticket: Ticket) -> Option<Instant> {
        self.seats.get(ticket.seat).filter(|seat| seat.number == ticket.number)?.rest.owed_since()
    }

    /// Has the reader woken by its end, and when it is hungry by the next message of its keys.
    pub(crate) fn wait(&mut self, ticket: Ticket, waker: &Waker, hungry: bool) {
        let seat = &mut self.seats[ticket.seat];
        seat.hungry = hungry;
        seat.rest.waits(waker);
    }

    /// Has the reader woken by what comes next in this turn of the log, though it may not have written what it was handed now.
    pub(crate) fn hands_all(&mut self, ticket: Ticket, turn: u64, waker: &Waker) {
        self.wait(ticket, waker, true);
        let seat = &mut self.seats[ticket.seat];
        seat.turn = turn;
        seat.rest.is_handed_all();
    }

    /// Hands a message to all who have read all before it, in order of subscription; who has not is woken to ask.
    pub(crate) fn hand(&mut self, entry: &Arc<Entry<M>>, turn: u64) -> Woken<M> {
        let of_topic = self.of_topic.get(entry.topic).map_or(&[][..], Vec::as_slice);
        let (mut woken, mut now) = (Woken::default(), None);
        let (mut one, mut all) = (of_topic.iter().peekable(), self.of_all.iter().peekable());
        while let Some(ticket) = match (one.peek(), all.peek()) {
            (Some(one_ticket), Some(all_ticket)) if all_ticket.number < one_ticket.number => all.next(),
            (Some(_), _) => one.next(),
            (None, _) => all.next(),
        } {
            let seat = &mut self.seats[ticket.seat];
            if !seat.hungry {
                continue;
            }
            let same_turn = seat.turn == turn;
            let handed = seat.rest.hand(entry, same_turn, || *now.get_or_insert_with(Instant::now));
            seat.hungry = handed.taken;
            if let Some(waker) = handed.waker {
                if woken.wakers.is_empty() {
                    // At once for all who may wait, and not at all when nobody does: what waking allocates does not grow with them.
                    woken.wakers.reserve_exact(of_topic.len() + self.of_all.len());
                }
                woken.wakers.push(waker);
            }
            if let Some(stale) = handed.stale {
                woken.stale.push(stale);
            }
        }
        woken
    }

    /// Takes back what was handed to readers of this topic and not taken yet: they ask the log.
    pub(crate) fn take_back(&self, topic: usize) {
        let of_topic = self.of_topic.get(topic).map_or(&[][..], Vec::as_slice);
        for ticket in of_topic.iter().chain(&self.of_all) {
            self.seats[ticket.seat].rest.take_back();
        }
    }

    /// Has the reader woken when the log has come as far as this place, too.
    pub(crate) fn wait_until(&mut self, ticket: Ticket, offset: Offset) {
        self.awaiting.insert((offset, ticket.number), ticket);
    }

    /// The wakers of those whose place the log has reached.
    pub(crate) fn take_arrived(&mut self, head: Offset) -> Vec<Waker> {
        let mut arrived = Vec::new();
        while let Some(first) = self.awaiting.first_entry().filter(|first| first.key().0 <= head) {
            arrived.extend(self.seats[first.remove().seat].rest.ends());
        }
        arrived
    }

    /// The wakers of all who wait, in order of subscription.
    pub(crate) fn take_all_waiting(&mut self) -> Vec<Waker> {
        self.awaiting.clear();
        let mut seats: Vec<&Seat<M>> = self.seats.iter().map(|(_, seat)| seat).collect();
        seats.sort_unstable_by_key(|seat| seat.number);
        seats.into_iter().filter_map(|seat| seat.rest.ends()).collect()
    }

    /// Ends one reader, if it has not left; an earlier end stands.
    pub(crate) fn end(&mut self, ticket: Ticket, end: End) -> Option<Waker> {
        let seat = self.seats.get_mut(ticket.seat).filter(|seat| seat.number == ticket.number)?;
        seat.end.get_or_insert(end);
        seat.rest.ends()
    }

    pub(crate) fn end_topic(&mut self, topic: usize, end: End) -> Vec<Waker> {
        let holders = self.of_topic.get(topic).cloned().unwrap_or_default();
        holders.into_iter().filter_map(|ticket| self.end(ticket, end)).collect()
    }

    pub(crate) fn end_all(&mut self, end: End) -> Vec<Waker> {
        let mut tickets: Vec<Ticket> =
            self.seats.iter().map(|(place, seat)| Ticket { number: seat.number, seat: place }).collect();
        tickets.sort_unstable_by_key(|ticket| ticket.number);
        tickets.into_iter().filter_map(|ticket| self.end(ticket, end)).collect()
    }
}

fn remove(tickets: &mut Vec<Ticket>, ticket: Ticket) {
    if let Ok(place) = tickets.binary_search_by_key(&ticket.number, |ticket| ticket.number) {
        tickets.remove(place);
    }
}

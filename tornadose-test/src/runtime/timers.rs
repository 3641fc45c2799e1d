//! When the next timer is due. The runtime does not tell: the clock is let go, and seen to stop.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::runtime::settle;

/// How far ahead is looked.
pub(crate) const HORIZON: Duration = Duration::from_hours(1);

thread_local! {
    static WATCHING: RefCell<Option<(Instant, UnboundedSender<Instant>)>> = const { RefCell::new(None) };
}

/// The runtime calls this when it has waited, and the clock may have moved.
pub(crate) fn woken() {
    WATCHING.with_borrow_mut(|watching| {
        if let Some((last, watching)) = watching {
            let now = Instant::now();
            // To wake anybody while the clock stands would keep it from moving.
            if now > *last {
                *last = now;
                // Who watched may have seen enough.
                let _ = watching.send(now);
            }
        }
    });
}

/// How far ahead the next timer is; none within the hour. The timer at `guard` is our own.
///
/// Timers that are far ahead are kept in slots of 64, 4096 … ms: where a slot begins, the clock stops too, and moves on
/// within it. Such a stop counts for a timer only if no other follows within its slot.
pub(crate) async fn next(origin: Instant, guard: Instant) -> Option<Duration> {
    settle().await;
    let start = Instant::now();
    let (send, mut stops) = unbounded_channel();
    WATCHING.set(Some((start, send)));
    let end = start + HORIZON;
    let mut last: Option<Instant> = None;
    // What a stop is good for: nothing, if one of our own timers lies in the slot that begins there.
    let leads_to = |stop: Instant, own: Instant| own > stop && own - stop < slot(stop - origin);
    loop {
        let stop = tokio::select! {
            biased;
            Some(stop) = stops.recv() => stop,
            () = sleep_until(end) => end,
        };
        if stop == guard || stop == end {
            last = last.filter(|last| !leads_to(*last, stop));
            if stop == end || last.is_some() {
                break;
            }
        } else if stop > start && last != Some(stop) {
            if last.is_some_and(|last| stop - last >= slot(last - origin)) {
                break;
            }
            last = Some(stop);
            if slot(stop - origin).is_zero() {
                break;
            }
        }
    }
    WATCHING.set(None);
    last.map(|stop| stop - start)
}

/// The length of the slot that may begin so long after the beginning: none, unless that is a multiple of 64 ms.
fn slot(stop: Duration) -> Duration {
    let slots: [u64; 5] = [1 << 30, 1 << 24, 1 << 18, 1 << 12, 1 << 6];
    let slot = slots.into_iter().find(|slot| stop.as_millis().is_multiple_of(u128::from(*slot)));
    slot.map_or(Duration::ZERO, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use crate::runtime::{current, run};

    #[test]
    fn the_next_timer_is_found_wherever_it_is() {
        let next = |after: u64, ahead: Option<u64>| {
            run(async move {
                sleep(Duration::from_millis(after)).await;
                let timer = ahead.map(|ms| tokio::spawn(sleep(Duration::from_millis(ms))));
                let start = Instant::now();
                let run = current();
                run.allow(super::HORIZON * 2);
                let next = super::next(start - Duration::from_millis(after), run.armed()).await;
                assert_eq!(next, ahead.map(Duration::from_millis), "{after} {ahead:?}");
                drop(timer);
            });
        };
        for after in [0, 1, 63, 64, 4095, 15_000] {
            for ahead in [1, 63, 64, 65, 1000, 4096, 15_000, 16_000, 60_000, 262_144, 599_000] {
                next(after, Some(ahead));
            }
            next(after, None);
        }
    }
}

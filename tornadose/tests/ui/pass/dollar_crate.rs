//! A `macro_rules!` of a crate that re-exports the library.
#![deny(warnings, missing_docs)]

#[doc(hidden)]
pub use tornadose as streams;

macro_rules! tick {
    ($message:ident, $subscriber:ident) => {
        #[$crate::streams::store(latest, crate = $crate::streams)]
        #[derive(serde::Serialize)]
        struct $message(f64);

        #[$crate::streams::subscriber(sse, ws, crate = $crate::streams, store = $message)]
        struct $subscriber;
    };
}

tick!(Tick, Ticks);

pub fn main() {
    let store = streams::Store::new();
    let _handler = Ticks::handler(&store);
    assert!(store.try_submit(Tick(1.0)).is_ok());
}

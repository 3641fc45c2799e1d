//! Whether the constants of a subscriber name all of its hooks.

use crate::store::Store;
use crate::subscriber::{KeyOf, Subscriber};

/// Panics when a hook is implemented and its constant does not say so. It is called in a constant, so that the program
/// does not compile, and the hook is not skipped silently.
///
/// The future of a hook has a size, because it keeps its arguments. That of the default has none.
pub(crate) const fn check_hooks<S: Subscriber>() {
    let (has_load, has_load_keys) =
        (future_size_of_load::<S, _, _>(&S::load) != 0, future_size_of_load_keys::<S, _, _>(&S::load_keys) != 0);
    assert!(S::LOADS || !(has_load || has_load_keys), "`load` is implemented: add `const LOADS: bool = true;`");
    assert!(
        S::WATCH.is_none() || !has_load,
        "`load` does not know which keys the client watches: implement `load_keys` instead"
    );
    assert!(
        S::WATCH.is_some() || !has_load_keys,
        "`load_keys` is for subscribers with `WATCH`: implement `load` instead"
    );
    assert!(
        S::HAS_OPENED || future_size_of_opened::<S, _, _>(&S::opened) == 0,
        "`opened` is implemented: add `const HAS_OPENED: bool = true;`"
    );
    assert!(
        S::WATCH.is_some() || future_size_of_watch::<S, _, _>(&S::watch) == 0,
        "`watch` is implemented: add `const WATCH: Option<ParseKey<KeyOf<Self>>> = Some(ParseKey::fields());`"
    );
    assert!(
        S::HAS_CLOSED || future_size_of_closed::<S, _, _>(&S::closed) == 0,
        "`closed` is implemented: add `const HAS_CLOSED: bool = true;`"
    );
}

const fn future_size_of_load<'a, S, H, F>(_: &H) -> usize
where
    S: Subscriber,
    H: Fn(&'a S, &'a Store<S::Message>) -> F,
{
    size_of::<F>()
}

const fn future_size_of_load_keys<'a, S, H, F>(_: &H) -> usize
where
    S: Subscriber,
    H: Fn(&'a S, &'a [KeyOf<S>], &'a Store<S::Message>) -> F,
{
    size_of::<F>()
}

const fn future_size_of_opened<'a, S, H, F>(_: &H) -> usize
where
    S: Subscriber,
    H: Fn(&'a mut S, &'a Store<S::Message>) -> F,
{
    size_of::<F>()
}

const fn future_size_of_watch<'a, S, H, F>(_: &H) -> usize
where
    S: Subscriber,
    H: Fn(&'a mut S, &'a KeyOf<S>, &'a Store<S::Message>) -> F,
{
    size_of::<F>()
}

const fn future_size_of_closed<'a, S, H, F>(_: &H) -> usize
where
    S: Subscriber,
    H: Fn(S, &'a Store<S::Message>) -> F,
{
    size_of::<F>()
}

//! The slots of `latest` messages.

use std::fmt::Debug;
use std::hash::Hash;

use serde::Serialize;

use crate::event::error::EncodeError;
use crate::message::Message;

/// A message of which the newest of each key, variant *and slot* is kept, such as one reading for each sensor of a device.
///
/// The attribute `#[slot]` on named fields of a `latest` message implements it, and defines the type of the slot: the
/// struct `ReadingSlot` for a struct `Reading`, and the enum `TwinSlot` for an enum `Twin`, with a variant for each variant
/// that has slots.
///
/// ```
/// use tornadose::{Slotted, prelude::*};
///
/// #[store(latest)]
/// #[derive(Serialize)]
/// struct Reading {
///     #[key]
///     device: u32,
///     #[slot]
///     sensor: String,
///     value: f64,
/// }
///
/// let reading = |sensor: &str, value| Reading { device: 7, sensor: sensor.into(), value };
/// let store = Store::new();
/// store.try_submit(reading("heat", 20.0)).unwrap();
/// store.try_submit(reading("wind", 3.0)).unwrap();
/// store.try_submit(reading("heat", 21.0)).unwrap();
///
/// let (device, heat) = (ReadingKey { device: 7 }, ReadingSlot { sensor: "heat".into() });
/// assert_eq!(store.latest_in(&device, &heat).unwrap().value, 21.0);
/// assert_eq!(reading("heat", 0.0).slot(), Some(heat));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no slots",
    label = "has no `#[slot]`",
    note = "put `#[slot]` on a named field of a `latest` message"
)]
pub trait Slotted: Message {
    /// The slot. It is known by its JSON, also in the process: different slots must have different JSON.
    type Slot: Clone + Eq + Hash + Debug + Serialize + Send + Sync + 'static;

    /// Returns the slot of this message; `None` for a variant without slots. [`Message::slot_json`] returns its JSON.
    fn slot(&self) -> Option<Self::Slot>;
}

/// Returns the JSON of a slot. An expansion of `#[store]` calls it.
///
/// # Errors
///
/// The slot cannot be serialized.
pub fn slot_json(slot: &impl Serialize) -> Result<String, EncodeError> {
    Ok(serde_json::to_string(slot)?)
}

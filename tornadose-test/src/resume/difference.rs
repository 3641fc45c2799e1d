//! The difference between the messages of a client that was cut and those of one that was not.

use crate::entry::{Event, Happening};
use crate::text::{message, one_line};

/// The part of a stream before its cut.
pub(crate) struct BeforeCut {
    /// The messages up to the client's last id. Later ones may arrive again.
    messages: Vec<String>,
    /// Whether the client has an id.
    pub(crate) has_id: bool,
}

pub(crate) fn before_cut(happenings: &[Happening]) -> BeforeCut {
    let (mut messages, mut after_id, mut has_id) = (Vec::new(), Vec::new(), false);
    for happening in happenings.iter().take_while(|happening| !matches!(happening, Happening::Cut(_))) {
        after_id.extend(message_text(happening));
        if matches!(happening, Happening::Position(_) | Happening::Event(Event { id: Some(_), .. })) {
            messages.append(&mut after_id);
            has_id = true;
        }
    }
    BeforeCut { messages, has_id }
}

/// Describes the difference between the messages of a whole stream and of one that was cut and resumed, if there is
/// one.
pub(crate) fn difference(whole: &[Happening], cut: &[Happening]) -> Option<String> {
    let expected: Vec<String> = whole.iter().filter_map(message_text).collect();
    let BeforeCut { messages: mut received, has_id } = before_cut(cut);
    received
        .extend(cut.iter().skip_while(|happening| !matches!(happening, Happening::Cut(_))).filter_map(message_text));
    if let Some(Happening::Violation(violation)) = cut.iter().find(|it| matches!(it, Happening::Violation(_))) {
        return Some(format!("\n    {violation}"));
    }
    let is_right = if has_id { received == expected } else { is_subsequence(&received, &expected) };
    if is_right {
        return None;
    }
    let lost = surplus(&expected, &received).into_iter().filter(|_| has_id);
    let lost = lost.map(|message| format!("\n    lost: {message}"));
    let kind = |message: &String| if expected.contains(message) { "duplicated" } else { "unexpected" };
    let extra = surplus(&received, &expected);
    let extra = extra.iter().map(|message| format!("\n    {}: {message}", kind(message)));
    let difference: String = lost.chain(extra).collect();
    Some(if difference.is_empty() { "\n    every message arrived, but in another order".into() } else { difference })
}

/// Returns the messages of the first list that the second does not contain, counting repetitions.
fn surplus(first: &[String], second: &[String]) -> Vec<String> {
    let mut second = second.to_vec();
    let mut surplus = Vec::new();
    for message in first {
        match second.iter().position(|other| other == message) {
            Some(index) => drop(second.remove(index)),
            None => surplus.push(message.clone()),
        }
    }
    surplus
}

/// Whether the messages are among all, in the same order.
fn is_subsequence(messages: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    messages.iter().all(|message| all.any(|other| other == message))
}

/// Returns a message without its id, which a resumed event need not have.
fn message_text(happening: &Happening) -> Option<String> {
    match happening {
        Happening::Event(Event { name, data, .. }) => Some(format!("{name} {}", one_line(data))),
        Happening::Text(text) => Some(message(text)),
        Happening::Binary(bytes) => Some(format!("{} binary bytes, {bytes:?}", bytes.len())),
        _ => None,
    }
}

use std::sync::Arc;
use std::task::Waker;

use super::{ReaderId, ReaderRegistry};
use crate::id::Offset;
use crate::store::log::key::KeySelection;
use crate::store::reader::mailbox::Mailbox;
use crate::store::registry::kind::ReaderKind;

fn reader(readers: &mut ReaderRegistry<()>) -> ReaderId {
    readers.insert(&KeySelection::One(0), ReaderKind::Subscription, None, &Arc::new(Mailbox::new(0)))
}

fn at(seq: u64) -> Offset {
    Offset::new(7, seq)
}

#[test]
fn a_reader_waits_for_one_offset_however_many_it_has_asked_for() {
    let mut readers = ReaderRegistry::<()>::new();
    let (one, other) = (reader(&mut readers), reader(&mut readers));
    readers.wait_for_offset(other, at(6));
    for seq in [9, 5, 7, 5, 8] {
        readers.wait_for_offset(one, at(seq));
    }
    assert_eq!(readers.pending.len(), 2);
    for id in [one, other] {
        readers.register_waker(id, Waker::noop(), true);
    }
    assert_eq!(readers.take_arrived(at(4)).len(), 0);
    assert_eq!(readers.take_arrived(at(5)).len(), 1);
    // The reader that was woken waits again, for what has not arrived.
    readers.register_waker(one, Waker::noop(), true);
    readers.wait_for_offset(one, at(9));
    readers.wait_for_offset(one, at(7));
    assert_eq!(readers.take_arrived(at(7)).len(), 2);
    assert_eq!((readers.pending.len(), readers.pending_offsets.len()), (0, 0));
}

#[test]
fn a_reader_that_is_gone_waits_for_no_offset() {
    let mut readers = ReaderRegistry::<()>::new();
    let one = reader(&mut readers);
    readers.wait_for_offset(one, at(9));
    readers.remove(&KeySelection::One(0), one);
    assert_eq!((readers.pending.len(), readers.pending_offsets.len()), (0, 0));
}

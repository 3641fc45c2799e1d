//! Merges sequences of entries that are in log order into one sequence in log order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::sync::Arc;

use crate::id::Offset;
use crate::store::entry::Entry;

/// Merges two sequences.
pub(super) fn merge<'a, M: 'a, A, B>(one: A, other: B) -> Merge<A, B>
where
    A: Iterator<Item = &'a Arc<Entry<M>>>,
    B: Iterator<Item = &'a Arc<Entry<M>>>,
{
    Merge(one.peekable(), other.peekable())
}

pub(super) struct Merge<A: Iterator, B: Iterator>(Peekable<A>, Peekable<B>);

impl<'a, M: 'a, A, B> Iterator for Merge<A, B>
where
    A: Iterator<Item = &'a Arc<Entry<M>>>,
    B: Iterator<Item = &'a Arc<Entry<M>>>,
{
    type Item = &'a Arc<Entry<M>>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.0.peek(), self.1.peek()) {
            (Some(one), Some(other)) if other.offset() < one.offset() => self.1.next(),
            (Some(_), _) => self.0.next(),
            (None, _) => self.1.next(),
        }
    }
}

/// Merges any number of sequences.
pub(super) fn merge_all<'a, M: 'a, I: Iterator<Item = &'a Arc<Entry<M>>>>(
    sequences: impl Iterator<Item = I>,
) -> MergeAll<I> {
    let mut sequences: Vec<Peekable<I>> = sequences.map(Iterator::peekable).collect();
    let firsts = sequences.iter_mut().enumerate();
    let next = firsts.filter_map(|(index, entries)| Some(Reverse((entries.peek()?.offset(), index)))).collect();
    MergeAll { sequences, next }
}

pub(super) struct MergeAll<I: Iterator> {
    sequences: Vec<Peekable<I>>,
    /// The offset of the next entry of each sequence that has one, and the sequence's index.
    next: BinaryHeap<Reverse<(Offset, usize)>>,
}

impl<'a, M: 'a, I: Iterator<Item = &'a Arc<Entry<M>>>> Iterator for MergeAll<I> {
    type Item = &'a Arc<Entry<M>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, index)) = self.next.pop()?;
        let entry = self.sequences[index].next();
        if let Some(following) = self.sequences[index].peek() {
            self.next.push(Reverse((following.offset(), index)));
        }
        entry
    }
}

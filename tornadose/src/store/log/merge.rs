//! Which part of a log a reader sees, and the merging of its parts back into log order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::sync::Arc;

use crate::id::Offset;
use crate::store::entry::Entry;

/// The topics whose messages a reader receives.
#[derive(Clone, Debug)]
pub(crate) enum View {
    One(usize),
    Set(Box<[usize]>),
    All,
}

impl View {
    /// The topics it names; a view of all names none.
    pub(crate) fn topics(&self) -> &[usize] {
        match self {
            Self::One(topic) => std::slice::from_ref(topic),
            Self::Set(topics) => topics,
            Self::All => &[],
        }
    }
}

/// Two sequences of entries in log order, as one.
pub(in crate::store) struct Merge<A: Iterator, B: Iterator>(Peekable<A>, Peekable<B>);

pub(in crate::store) fn merge<'a, M: 'a, A, B>(one: A, other: B) -> Merge<A, B>
where
    A: Iterator<Item = &'a Arc<Entry<M>>>,
    B: Iterator<Item = &'a Arc<Entry<M>>>,
{
    Merge(one.peekable(), other.peekable())
}

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

/// Any number of sequences of entries in log order, as one.
pub(in crate::store) struct MergeAll<I: Iterator> {
    sequences: Vec<Peekable<I>>,
    next: BinaryHeap<Reverse<(Offset, usize)>>,
}

pub(in crate::store) fn merge_all<'a, M: 'a, I: Iterator<Item = &'a Arc<Entry<M>>>>(
    sequences: impl Iterator<Item = I>,
) -> MergeAll<I> {
    let mut sequences: Vec<Peekable<I>> = sequences.map(Iterator::peekable).collect();
    let firsts = sequences.iter_mut().enumerate();
    let next = firsts.filter_map(|(place, entries)| Some(Reverse((entries.peek()?.offset(), place)))).collect();
    MergeAll { sequences, next }
}

impl<'a, M: 'a, I: Iterator<Item = &'a Arc<Entry<M>>>> Iterator for MergeAll<I> {
    type Item = &'a Arc<Entry<M>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, place)) = self.next.pop()?;
        let entry = self.sequences[place].next();
        if let Some(following) = self.sequences[place].peek() {
            self.next.push(Reverse((following.offset(), place)));
        }
        entry
    }
}

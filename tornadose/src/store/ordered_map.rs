//! A map in the order of its keys, with the methods of `BTreeMap`. Its tree does not know the type of its values. A program of many message types is
//! built with one copy of the tree's code.

use std::collections::BTreeMap;
use std::ops::{Index, RangeBounds};

use slab::Slab;

/// A map in the order of its keys.
pub(crate) struct OrderedMap<K, V> {
    places: BTreeMap<K, usize>,
    values: Slab<V>,
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), values: Slab::new() }
    }
}

impl<K: Copy + Ord, V> OrderedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(*self.places.get(key)?)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(*self.places.get(key)?)
    }

    /// Sets the value of a key, and returns the one that it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = self.values.insert(value);
        let before = self.places.insert(key, place)?;
        Some(self.values.remove(before))
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.places.remove(key)?;
        Some(self.values.remove(place))
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        let (key, place) = self.places.first_key_value()?;
        Some((key, &self.values[*place]))
    }

    pub(crate) fn last_key_value(&self) -> Option<(&K, &V)> {
        let (key, place) = self.places.last_key_value()?;
        Some((key, &self.values[*place]))
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, place) = self.places.pop_first()?;
        Some((key, self.values.remove(place)))
    }

    /// Returns the keys in order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.places.keys()
    }

    /// Returns the values in the order of their keys.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.places.values().map(|place| &self.values[*place])
    }

    /// Returns the keys in a range and their values, in order.
    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.places.range(range).map(|(key, place)| (key, &self.values[*place]))
    }

    /// Returns all keys and their values, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.places.iter().map(|(key, place)| (key, &self.values[*place]))
    }

    /// Takes the values in the order of their keys.
    pub(crate) fn into_values(mut self) -> impl Iterator<Item = V> {
        self.places.into_values().map(move |place| self.values.remove(place))
    }
}

impl<K: Copy + Ord, V> Index<&K> for OrderedMap<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.values[self.places[key]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_walked_in_the_order_of_their_keys() {
        let mut map = OrderedMap::default();
        for key in [5, 1, 3] {
            assert_eq!(map.insert(key, key * 10), None);
        }
        assert_eq!(map.insert(3, 31), Some(30));
        assert_eq!((map.len(), map.is_empty(), map.contains_key(&3), map.contains_key(&2)), (3, false, true, false));
        assert_eq!(
            (map.first_key_value(), map.last_key_value(), map.get(&3)),
            (Some((&1, &10)), Some((&5, &50)), Some(&31))
        );
        assert_eq!(map.range(2..).collect::<Vec<_>>(), [(&3, &31), (&5, &50)]);
        assert_eq!(map.keys().rev().collect::<Vec<_>>(), [&5, &3, &1]);
        *map.get_mut(&5).unwrap() += 1;
        assert_eq!(map.remove(&1), Some(10));
        assert_eq!(map.insert(2, 20), None);
        assert_eq!(map.values().collect::<Vec<_>>(), [&20, &31, &51]);
        assert_eq!(map.iter().next_back(), Some((&5, &51)));
        assert_eq!(map.pop_first(), Some((2, 20)));
        assert_eq!(map.into_values().collect::<Vec<_>>(), [31, 51]);
    }
}

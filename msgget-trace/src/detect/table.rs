//! A table of bounded size: what is asked for again stays, what was not for long goes, half a table at a time.
//!
//! Entries live in a young and an old generation. What is touched is young; when the young are half of what the table may hold,
//! the old are dropped and the young become the old. Other than a list of all entries in the order of their use this costs a
//! lookup one access to memory and not four, and most of what a lookup costs is that access.

use std::hash::Hash;

use hashbrown::{HashMap, hash_map::Entry};

#[derive(Debug)]
pub(super) struct Table<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// For at most `bound` entries, of which at least the half that was touched last is there.
    pub(super) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: bound / 2 }
    }

    /// The entry of `key`, which does not count as touched.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The entry of `key`.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.make_room();
            self.young.insert(*key, value);
        }
        self.young.get_mut(key)
    }

    /// The entry of `key`, made if need be.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.touch(key, make).1
    }

    /// As [`Self::entry`], and whether it was touched since the table last grew old.
    pub(super) fn touch(&mut self, key: K, make: impl FnOnce() -> V) -> (bool, &mut V) {
        self.make_room();
        match self.young.entry(key) {
            Entry::Occupied(entry) => (true, entry.into_mut()),
            Entry::Vacant(place) => (false, place.insert(self.old.remove(&key).unwrap_or_else(make))),
        }
    }

    /// Puts `value` in the place of `key`.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.make_room();
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Takes the entry of `key` out.
    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Whether `key` was touched since the table last grew old.
    pub(super) fn is_young(&self, key: &K) -> bool {
        self.young.contains_key(key)
    }

    /// Drops the old entries and makes the young ones old.
    pub(super) fn age(&mut self) {
        // The space is what the next young ones need.
        let spare = std::mem::take(&mut self.old);
        self.old = std::mem::replace(&mut self.young, spare);
        self.young.clear();
    }

    fn make_room(&mut self) {
        if self.young.len() >= self.half {
            self.age();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_touched_stays() {
        let mut table = Table::new(8);
        for key in 0..100 {
            table.put(key, key);
            assert_eq!(table.get_mut(&0), Some(&mut 0), "at {key}");
        }
        assert_eq!((table.peek(&99), table.peek(&50)), (Some(&99), None));
    }

    proptest! {
        /// It never holds more than its bound, what it holds is what was put there last, and the half touched last is there.
        #[test]
        fn is_a_map_that_forgets(steps in proptest::collection::vec((0..4u8, 0..40u32), 0..300)) {
            const BOUND: usize = 16;
            let (mut table, mut model) = (Table::new(BOUND), std::collections::HashMap::new());
            // What was taken out leaves its place: those touched before it are no nearer to the end for it.
            let mut touched: Vec<Option<u32>> = Vec::new();
            for (nth, (step, key)) in steps.into_iter().enumerate() {
                let there = match step {
                    0 => { table.put(key, nth); model.insert(key, nth); true }
                    1 => { let value = *table.entry(key, || nth); model.insert(key, value); true }
                    2 => table.get_mut(&key).is_some(),
                    _ => {
                        table.remove(&key);
                        touched.iter_mut().filter(|other| **other == Some(key)).for_each(|other| *other = None);
                        prop_assert_eq!(table.peek(&key), None);
                        false
                    }
                };
                if there {
                    touched.retain(|other| *other != Some(key));
                    touched.push(Some(key));
                }
                prop_assert!(table.young.len() + table.old.len() <= BOUND);
                for (key, value) in table.young.iter().chain(&table.old) {
                    prop_assert_eq!(model.get(key), Some(value));
                }
                prop_assert!(touched.iter().rev().take(BOUND / 2).flatten().all(|key| table.peek(key).is_some()));
            }
        }
    }
}

//! State by key, within a bound: who comes by the million displaces those whose state is nearest to being
//! meaningless anyway.

use std::collections::HashMap;
use std::time::Duration;

use crate::limit::Key;

/// State that means nothing more after a while.
pub(super) trait Fading: Default {
    /// When it will be as if it had never been.
    fn gone_at(&self, now: Duration) -> Duration;
    /// What it holds beside itself.
    fn heap_bytes(&self) -> usize;
}

/// At most [`KEYS_MAX`] keys.
#[derive(Debug)]
pub(super) struct Table<V> {
    places: HashMap<Key, u32>,
    entries: Vec<(Key, V)>,
    /// Where the search for somebody to displace goes on.
    hand: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), hand: 0 }
    }
}

impl<V: Fading> Table<V> {
    pub(super) fn find(&self, key: &Key) -> Option<&V> {
        self.places.get(key).map(|&place| &self.entries[place as usize].1)
    }

    /// The key's state, fresh if there was none.
    pub(super) fn find_or_insert(&mut self, key: Key, now: Duration) -> &mut V {
        let place = match self.places.get(&key) {
            Some(&place) => place as usize,
            None => {
                let place = if self.entries.len() < KEYS_MAX {
                    self.entries.push((key.clone(), V::default()));
                    self.entries.len() - 1
                } else {
                    let place = self.displaced(now);
                    let (old, _) = std::mem::replace(&mut self.entries[place], (key.clone(), V::default()));
                    self.places.remove(&old);
                    place
                };
                self.places.insert(key, u32::try_from(place).expect("the bound is below 2^32"));
                place
            }
        };
        &mut self.entries[place].1
    }

    /// Of the next few entries one that means nothing, or least.
    fn displaced(&mut self, now: Duration) -> usize {
        let looked_at = (0..LOOKED_AT_MAX).map(|step| (self.hand + step) % self.entries.len());
        let place = looked_at
            .min_by_key(|&place| self.entries[place].1.gone_at(now).max(now))
            .expect("it is looked for only where there are entries");
        self.hand = (place + 1) % self.entries.len();
        place
    }

    /// Forgets the state of some keys.
    pub(super) fn reset(&mut self, is_meant: impl Fn(&Key) -> bool) {
        self.entries.iter_mut().filter(|(key, _)| is_meant(key)).for_each(|(_, value)| *value = V::default());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Key, V)> {
        self.entries.iter()
    }

    /// An estimate: what is allocated, without what the allocator adds.
    pub(super) fn state_bytes(&self) -> usize {
        let names: usize = self
            .entries
            .iter()
            .map(|(key, value)| {
                let name = match key {
                    Key::User(name) => name.len() + 16,
                    Key::Gateway
                    | Key::Listener(_)
                    | Key::Backend(_)
                    | Key::Address(_)
                    | Key::Network(_)
                    | Key::Session(_) => 0,
                };
                name + value.heap_bytes()
            })
            .sum();
        // One byte of control beside each place of the map, of which seven in eight are used.
        self.places.capacity() * 8 / 7 * (size_of::<(Key, u32)>() + 1)
            + self.entries.capacity() * size_of::<(Key, V)>()
            + names
    }
}

/// With buckets about 25 MB, by address.
pub(super) const KEYS_MAX: usize = 1 << 18;
/// How much work a newcomer may cause.
const LOOKED_AT_MAX: usize = 16;

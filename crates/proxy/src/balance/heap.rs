//! A binary heap whose members are servers: each is in it at most once, and can be taken out of
//! the middle. Allocates nothing once every server was in it.

/// Says "not in the heap" in [`Heap::slots`].
const ABSENT: u32 = u32::MAX;

/// The servers in it, the one with the smallest key first.
#[derive(Debug)]
pub(super) struct Heap<K> {
    entries: Vec<(K, u32)>,
    /// Where in `entries` each server is.
    slots: Vec<u32>,
}

impl<K: Ord + Copy> Heap<K> {
    /// An empty heap for servers `0..servers`.
    pub(super) fn new(servers: usize) -> Self {
        Self {
            entries: Vec::with_capacity(servers),
            slots: vec![ABSENT; servers],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains(&self, server: usize) -> bool {
        self.slots[server] != ABSENT
    }

    /// The server with the smallest key.
    pub(super) fn first(&self) -> Option<usize> {
        self.entries.first().map(|&(_, server)| server as usize)
    }

    /// The server with the smallest key but one.
    pub(super) fn second(&self) -> Option<usize> {
        let children = self.entries.get(1..self.entries.len().min(3))?;
        children.iter().min().map(|&(_, server)| server as usize)
    }

    /// Puts a server in, or gives it another key.
    pub(super) fn set(&mut self, server: usize, key: K) {
        let slot = self.slots[server] as usize;
        if slot < self.entries.len() {
            self.entries[slot].0 = key;
            self.settle(slot);
            return;
        }
        let member = u32::try_from(server).expect("a backend has fewer than 2^32 servers");
        self.entries.push((key, member));
        self.rise(self.entries.len() - 1);
    }

    /// Takes a server out; says whether it was in.
    pub(super) fn remove(&mut self, server: usize) -> bool {
        let slot = self.slots[server] as usize;
        if slot >= self.entries.len() {
            return false;
        }
        self.slots[server] = ABSENT;
        self.entries.swap_remove(slot);
        if slot < self.entries.len() {
            self.settle(slot);
        }
        true
    }

    fn settle(&mut self, slot: usize) {
        let slot = self.rise(slot);
        self.sink(slot);
    }

    fn rise(&mut self, mut slot: usize) -> usize {
        while slot > 0 {
            let parent = (slot - 1) / 2;
            if self.entries[parent] <= self.entries[slot] {
                break;
            }
            self.swap(parent, slot);
            slot = parent;
        }
        self.note(slot);
        slot
    }

    fn sink(&mut self, mut slot: usize) {
        loop {
            let children = 2 * slot + 1..(2 * slot + 3).min(self.entries.len());
            let Some(least) = children.min_by_key(|&child| self.entries[child]) else {
                break;
            };
            if self.entries[slot] <= self.entries[least] {
                break;
            }
            self.swap(slot, least);
            slot = least;
        }
        self.note(slot);
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        self.note(one);
        self.note(other);
    }

    fn note(&mut self, slot: usize) {
        let server = self.entries[slot].1 as usize;
        self.slots[server] = u32::try_from(slot).expect("slots are fewer than servers");
    }
}

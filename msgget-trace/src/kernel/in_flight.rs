//! The slots of the kernel program go in; since when the longest of the calls in flight is under way comes out.

use std::{
    collections::HashMap,
    io,
    mem::offset_of,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use msgget_trace_ebpf::{SLOT_TIME_BITS, SLOTS, Slot};

use super::mapping::Mapping;
use crate::event::BootTime;

/// How long a note of an eviction is believed: 1 s, in ns. Two threads that race over a slot can leave one behind that
/// belongs to nobody.
const EVICTION_BELIEVED: u64 = 1_000_000_000;

/// A view of the slots. A free slot means that the record of every call that was in it is in the ring.
#[derive(Debug)]
pub struct InFlight {
    slots: Mapping,
    /// Slots with notes of evictions, which notes, and since when they are the same.
    evictions: HashMap<usize, (u64, BootTime)>,
}

impl InFlight {
    /// Maps the map of slots.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(super) fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let bytes = SLOTS as usize * size_of::<Slot>();
        Ok(Self { slots: Mapping::new(map, 0, bytes, libc::PROT_READ)?, evictions: HashMap::new() })
    }

    /// No call that is in flight was entered before this moment; `now` when none is. [`BootTime`] 0 when an evicted thread
    /// is among them, whose moment nobody knows.
    pub fn since(&mut self, now: BootTime) -> BootTime {
        const TIME: u64 = (1 << SLOT_TIME_BITS) - 1;
        let mut since = now;
        let mut evictions = HashMap::new();
        for index in 0..SLOTS as usize {
            let entered = self.word(index, offset_of!(Slot, entered));
            if entered != 0 {
                // The slot holds the low bits of a time that has passed.
                let elapsed = now.0.wrapping_sub(entered) & TIME;
                // An enter that came after `now` was read has not elapsed at all, and wraps around.
                if elapsed < TIME / 2 {
                    since = since.min(BootTime(now.0.saturating_sub(elapsed)));
                }
            }
            let evicted = self.word(index, offset_of!(Slot, evicted));
            if evicted != 0 {
                let noted = match self.evictions.get(&index) {
                    Some((same, noted)) if *same == evicted => *noted,
                    _ => now,
                };
                evictions.insert(index, (evicted, noted));
                if now.since(noted) < EVICTION_BELIEVED {
                    since = BootTime(0);
                }
            }
        }
        self.evictions = evictions;
        since
    }

    fn word(&self, index: usize, offset: usize) -> u64 {
        // SAFETY: inside the mapping and aligned, since slots are multiples of 8 bytes; the kernel writes words atomically.
        let word = unsafe { AtomicU64::from_ptr(self.slots.start().add(index * size_of::<Slot>() + offset).cast()) };
        word.load(Ordering::SeqCst)
    }
}

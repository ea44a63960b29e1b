//! Pairs the two ends of a call: an enter goes in under the thread's id, and comes out at the exit of that thread, or the
//! reason why it does not.
//!
//! A slot's first word is written by one atomic exchange, so threads that share a slot cannot mix their data, only evict
//! each other; and who was evicted is remembered by one bit of a second word until it leaves. A call can therefore lose
//! its enter to a colliding thread, but never itself. The third word belongs to whoever's tag and time it carries.
//!
//! An exit gives its slot back only after its record is in the ring ([`leave`]): whoever sees a slot free, as user space
//! does through a mapping, finds the records of all calls that were in it.

use core::intrinsics::{AtomicOrdering, atomic_and, atomic_cxchg, atomic_or, atomic_xchg};

use msgget_trace_ebpf::{EVICTED, NOT_EXECUTED, PAIRED, Position, SLOT_BITS, SLOT_TIME_BITS, SLOTS, Slot};

use crate::{
    maps,
    position::{self, pack, unpack},
};

const TIME_MASK: u64 = (1 << SLOT_TIME_BITS) - 1;
const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;

/// Layout of the third word: tag and the low bits of the enter time of whom it belongs to, then the position.
const OWNER_SHIFT: u32 = position::BITS;
const OWNER_TIME: u64 = 0xffff;

/// What an exit learns of its enter.
#[derive(Clone, Copy)]
pub(crate) struct Pairing {
    /// `PAIRED`, `NOT_EXECUTED` or `EVICTED`.
    pub(crate) how: u32,
    /// Boot clock; 0 unless paired.
    pub(crate) enter_ns: u64,
    /// What was noted with it.
    pub(crate) before: Position,
    /// The word to give back; 0 unless paired.
    pub(crate) noted: u64,
}

/// The words of a slot, as pointers: other CPUs write them at any time, so no reference to them may exist.
#[inline(always)]
fn words(slot: *mut Slot) -> (*mut u64, *mut u64, *mut u64) {
    // SAFETY: `slot` comes from a map look-up and points to a whole `Slot`.
    unsafe { (&raw mut (*slot).entered, &raw mut (*slot).evicted, &raw mut (*slot).position) }
}

/// What the third word must begin with to belong to the call noted as `entered`.
#[inline(always)]
fn owner(entered: u64) -> u64 {
    (entered >> SLOT_TIME_BITS << 16) | (entered & OWNER_TIME)
}

/// Notes that thread `tid` entered the call at `now` (boot clock, ns). True if it evicted another thread's note.
#[inline(always)]
pub(crate) fn enter(tid: u32, now: u64, before: Option<Position>) -> bool {
    let Some(slot) = maps::SLOTS.get_ptr_mut(tid & (SLOTS - 1)) else {
        return false;
    };
    let tag = u64::from(tid >> SLOT_BITS);
    let note = (tag << SLOT_TIME_BITS) | (now & TIME_MASK);
    // SAFETY: array elements are 8-byte aligned and live as long as the map; the words are only accessed atomically or
    // by single aligned loads and stores.
    unsafe {
        let (entered, evicted, position) = words(slot);
        // An eviction of ours that is still noted belongs to a call that has ended: we are entering anew.
        if core::ptr::read_volatile(evicted) & (1 << tag) != 0 {
            atomic_and::<u64, u64, ORDER>(evicted, !(1 << tag));
        }
        if let Some(before) = before {
            core::ptr::write_volatile(position, (owner(note) << OWNER_SHIFT) | pack(before));
        }
        let previous = atomic_xchg::<u64, ORDER>(entered, note);
        let collision = previous != 0 && previous >> SLOT_TIME_BITS != tag;
        if collision {
            atomic_or::<u64, u64, ORDER>(evicted, 1 << (previous >> SLOT_TIME_BITS));
        }
        collision
    }
}

/// Looks up the note of thread `tid`, which is leaving at `now`.
#[inline(always)]
pub(crate) fn exit(tid: u32, now: u64) -> Pairing {
    let unpaired = |how| Pairing { how, enter_ns: 0, before: Position::default(), noted: 0 };
    let Some(slot) = maps::SLOTS.get_ptr_mut(tid & (SLOTS - 1)) else {
        return unpaired(EVICTED);
    };
    let tag = u64::from(tid >> SLOT_BITS);
    // SAFETY: as in `enter`.
    unsafe {
        let (entered, evicted, position) = words(slot);
        let noted = core::ptr::read_volatile(entered);
        if noted != 0 && noted >> SLOT_TIME_BITS == tag {
            let elapsed = now.wrapping_sub(noted) & TIME_MASK;
            let position = core::ptr::read_volatile(position);
            let ours = position >> OWNER_SHIFT == owner(noted);
            let before = if ours { unpack(position) } else { Position::default() };
            return Pairing { how: PAIRED, enter_ns: now.wrapping_sub(elapsed), before, noted };
        }
        if core::ptr::read_volatile(evicted) & (1 << tag) != 0 {
            atomic_and::<u64, u64, ORDER>(evicted, !(1 << tag));
            return unpaired(EVICTED);
        }
        // Between another thread's exchange and its note of our eviction lies an instant; while it is inside, doubt
        // speaks for "executed", since the other answer would let a colliding thread hide us.
        unpaired(if noted == 0 { NOT_EXECUTED } else { EVICTED })
    }
}

/// Frees the slot of thread `tid`, now that the record of its call is in the ring.
#[inline(always)]
pub(crate) fn leave(tid: u32, pairing: &Pairing) {
    if pairing.how != PAIRED {
        return;
    }
    if let Some(slot) = maps::SLOTS.get_ptr_mut(tid & (SLOTS - 1)) {
        // Fails only if another thread evicted us meanwhile; then the slot is its own.
        // SAFETY: as in `enter`.
        unsafe { atomic_cxchg::<u64, ORDER, ORDER>(words(slot).0, pairing.noted, 0) };
    }
}

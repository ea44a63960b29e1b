//! Pairs the two ends of a call: an enter time goes in under the thread's id, and comes out at the exit of that thread,
//! or the reason why it does not.
//!
//! A slot is one word written by one atomic exchange, so threads that share a slot cannot mix their data, only evict each
//! other; and who was evicted is remembered by one bit of a second word until it leaves. A call can therefore lose its
//! enter time to a colliding thread, but never itself.

use core::intrinsics::{AtomicOrdering, atomic_and, atomic_cxchg, atomic_or, atomic_xchg};

use msgget_trace_ebpf::{EVICTED, NOT_EXECUTED, PAIRED, SLOT_BITS, SLOT_TIME_BITS, SLOTS, Slot};

use crate::maps;

const TIME_MASK: u64 = (1 << SLOT_TIME_BITS) - 1;
const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;

/// The two words of a slot, as pointers: other CPUs write them at any time, so no reference to them may exist.
#[inline(always)]
fn words(slot: *mut Slot) -> (*mut u64, *mut u64) {
    // SAFETY: `slot` comes from a map look-up and points to a whole `Slot`.
    unsafe { (&raw mut (*slot).entered, &raw mut (*slot).evicted) }
}

/// What an exit learns of its enter.
#[derive(Clone, Copy)]
pub(crate) struct Pairing {
    /// `PAIRED`, `NOT_EXECUTED` or `EVICTED`.
    pub(crate) how: u32,
    /// Boot clock; 0 unless paired.
    pub(crate) enter_ns: u64,
}

/// Notes that thread `tid` entered the call at `now` (boot clock, ns). True if it evicted another thread's note.
#[inline(always)]
pub(crate) fn enter(tid: u32, now: u64) -> bool {
    let Some(slot) = maps::SLOTS.get_ptr_mut(tid & (SLOTS - 1)) else {
        return false;
    };
    let tag = u64::from(tid >> SLOT_BITS);
    // SAFETY: array elements are 8-byte aligned and live as long as the map; both words are only accessed atomically
    // or by single aligned loads.
    unsafe {
        let (entered, evicted) = words(slot);
        // An eviction of ours that is still noted belongs to a call that has ended: we are entering anew.
        if core::ptr::read_volatile(evicted) & (1 << tag) != 0 {
            atomic_and::<u64, u64, ORDER>(evicted, !(1 << tag));
        }
        let previous = atomic_xchg::<u64, ORDER>(entered, (tag << SLOT_TIME_BITS) | (now & TIME_MASK));
        let collision = previous != 0 && previous >> SLOT_TIME_BITS != tag;
        if collision {
            atomic_or::<u64, u64, ORDER>(evicted, 1 << (previous >> SLOT_TIME_BITS));
        }
        collision
    }
}

/// Takes the note of thread `tid` back.
#[inline(always)]
pub(crate) fn exit(tid: u32, now: u64) -> Pairing {
    let unpaired = |how| Pairing { how, enter_ns: 0 };
    let Some(slot) = maps::SLOTS.get_ptr_mut(tid & (SLOTS - 1)) else {
        return unpaired(EVICTED);
    };
    let tag = u64::from(tid >> SLOT_BITS);
    // SAFETY: as in `enter`.
    unsafe {
        let (entered, evicted) = words(slot);
        let noted = core::ptr::read_volatile(entered);
        if noted != 0 && noted >> SLOT_TIME_BITS == tag {
            // Fails only if we are being evicted this instant; the note was read before, so nothing is lost.
            atomic_cxchg::<u64, ORDER, ORDER>(entered, noted, 0);
            let elapsed = now.wrapping_sub(noted) & TIME_MASK;
            return Pairing {
                how: PAIRED,
                enter_ns: now.wrapping_sub(elapsed),
            };
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

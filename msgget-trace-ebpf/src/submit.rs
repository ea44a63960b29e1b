//! The last step in the kernel: a finished record goes in; it goes out through the ring, or is counted as lost.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use msgget_trace_ebpf::Call;

use crate::{
    maps::{self, RECORDS},
    object::frozen,
};

/// Changes a counter where all others, in the order they are changed, can see it: whoever adds counters up while we run
/// relies on it that what comes in is counted before what goes out.
#[inline(always)]
pub(crate) fn step(counter: &mut u64, by: i64) {
    // SAFETY: an exclusive reference. Volatile writes keep their order, and x86 shows it to other CPUs.
    unsafe { core::ptr::write_volatile(counter, counter.wrapping_add_signed(by)) };
}

/// `BPF_RINGBUF_HDR_SZ`, include/uapi/linux/bpf.h: bytes of the ring before every record.
const HEADER: u64 = 8;

/// Bytes of the ring that a call takes.
const STRIDE: u64 = size_of::<Call>() as u64 + HEADER;

/// Sends `record` to user space; false if the ring has no room for it.
///
/// Waking a sleeping reader costs the caller 10 us, so nobody does it except whoever carries the ring past `wake_bytes`; the
/// reader looks by itself every few milliseconds. Several CPUs may be doing that at once, hence the width of the window.
#[inline(always)]
pub(crate) fn send<T>(record: &T) -> bool {
    let wake = u64::from(frozen!(CONFIG.wake_bytes));
    let waiting = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA));
    let passes = waiting + size_of::<T>() as u64 + HEADER >= wake && waiting < wake + 4 * STRIDE;
    let flags = if passes { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    RECORDS.output::<T>(record, u64::from(flags)).is_ok()
}

/// Sends `call` to user space, and counts it: as submitted before user space can read it, so that nobody ever finds more
/// read than submitted; as lost when it turns out to be.
#[inline(always)]
pub(crate) fn submit(call: &Call) {
    maps::count(|counters| {
        step(&mut counters.seen, 1);
        step(&mut counters.submitted, 1);
    });
    if !send(call) {
        maps::count(|counters| {
            step(&mut counters.submitted, -1);
            step(&mut counters.lost_ring_full, 1);
        });
    }
}

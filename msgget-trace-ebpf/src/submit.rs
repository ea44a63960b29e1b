//! The last step in the kernel: a finished record goes in; it goes out through the ring, or is counted as lost.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use msgget_trace_ebpf::Call;

use crate::{
    maps::{self, RECORDS},
    task::frozen,
};

/// Bytes of the ring a record takes, with its header (`BPF_RINGBUF_HDR_SZ`, include/uapi/linux/bpf.h).
const STRIDE: u64 = size_of::<Call>() as u64 + 8;

/// Sends `call` to user space.
///
/// Waking a sleeping reader costs the caller 10 us, so nobody does it except whoever finds the ring just about to pass
/// `wake_bytes`; the reader looks by itself every few milliseconds. Several CPUs may be in that window at once, hence
/// its width.
#[inline(always)]
pub(crate) fn submit(call: &Call) {
    let wake = u64::from(frozen!(CONFIG.wake_bytes));
    let waiting = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA));
    let flags = if waiting >= wake && waiting < wake + 4 * STRIDE {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    let sent = RECORDS.output::<Call>(call, u64::from(flags)).is_ok();
    maps::count(|counters| {
        counters.seen += 1;
        counters.submitted += u64::from(sent);
        counters.lost_ring_full += u64::from(!sent);
    });
}

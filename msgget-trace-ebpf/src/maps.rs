//! Everything the kernel program shares with user space: the globals that come in before loading, the ring and the
//! counters that go out.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use msgget_trace_ebpf::{Config, Counters, MEMBERS as MEMBER_COUNT, Offsets, RING_BYTES, SLOTS as SLOT_COUNT, Slot};

/// Member offsets of this kernel.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::NONE);

/// What to trace.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<Config> = Global::new(Config {
    follow: 0,
    self_pid: 0,
    self_pid_ns: 0,
    canary_key: 0,
    wake_bytes: 0,
    read_kernel: 0,
});

/// Records on their way to user space.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// One [`Counters`] per CPU.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Calls in flight.
#[map]
pub(crate) static SLOTS: Array<Slot> = Array::with_max_entries(SLOT_COUNT, 0);

/// Processes `exec` follows, by process id.
#[map]
pub(crate) static MEMBERS: HashMap<u32, u8> = HashMap::with_max_entries(MEMBER_COUNT, 0);

/// Changes this CPU's counters. Programs of one kind do not nest on a CPU, so plain additions lose nothing.
#[inline(always)]
pub(crate) fn count(change: impl FnOnce(&mut Counters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: the pointer is this CPU's own element, valid for the run of the program.
        change(unsafe { &mut *counters });
    }
}

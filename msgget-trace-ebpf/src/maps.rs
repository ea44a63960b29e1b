//! Everything the kernel program shares with user space: the globals that come in before loading, the ring and the
//! counters that go out.

use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use msgget_trace_ebpf::{
    Account, AccountKey, Call, Config, Context, Counters, FACTS as FACT_COUNT, Fact, IMAGES as IMAGE_COUNT,
    LISTED as LISTED_COUNT, MEMBERS as MEMBER_COUNT, OWNERS as OWNER_COUNT, Offsets, PROCESSES as PROCESS_COUNT,
    RING_BYTES, Reader, SCOPE_CGROUPS as SCOPE_CGROUP_COUNT, SCOPE_VALUES as SCOPE_VALUE_COUNT, SLOTS as SLOT_COUNT,
    ScopeKey, Scopes, Slot, State,
};

use crate::image::Announced;

/// Member offsets of this kernel.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::NONE);

/// What to trace.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<Config> = Global::new(Config {
    follow: 0,
    wake_bytes: 0,
    read_kernel: 0,
    command_lines: 0,
    process_interval_ns: 0,
    owner_interval_ns: 0,
    burst: 0,
    id_index_bits: 0,
    stale_ids: 0,
    scoped: 0,
});

/// Records on their way to user space.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// One [`Counters`] per CPU.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// What the next daemon needs to know, and who the present one is. User space maps it.
#[map]
static STATE: Array<State> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The daemon.
#[inline(always)]
pub(crate) fn reader() -> Reader {
    let Some(state) = STATE.get_ptr(0) else { return Reader::default() };
    // SAFETY: the element lives as long as the map. A daemon that is just taking over may be seen by halves: then it is
    // nobody for a moment.
    unsafe { core::ptr::read_volatile(&raw const (*state).reader) }
}

/// The number of the scopes in force.
#[inline(always)]
pub(crate) fn scopes_in_force() -> u32 {
    let Some(state) = STATE.get_ptr(0) else { return 0 };
    // SAFETY: as in `reader`; one word.
    unsafe { core::ptr::read_volatile(&raw const (*state).scopes) }
}

/// Those in force, and those that will be next or were before.
#[map]
static SCOPES: Array<Scopes> = Array::with_max_entries(2, 0);

/// The scopes of that number.
#[inline(always)]
pub(crate) fn scopes<'a>(generation: u32) -> Option<&'a Scopes> {
    SCOPES.get(generation & 1)
}

/// What policies say of single values, by those that are content with them: of two generations.
#[map]
pub(crate) static SCOPE_VALUES: HashMap<ScopeKey, u64> = HashMap::with_max_entries(2 * SCOPE_VALUE_COUNT, 0);

/// The same of cgroups, as far as they are known.
#[map]
pub(crate) static SCOPE_CGROUPS: LruHashMap<ScopeKey, u64> = LruHashMap::with_max_entries(SCOPE_CGROUP_COUNT, 0);

/// Calls in flight. User space maps it, to see who still is.
#[map]
pub(crate) static SLOTS: Array<Slot> = Array::with_max_entries(SLOT_COUNT, BPF_F_MMAPABLE);

/// What the hooks inside `ipcget` found out, by thread id, until it returns.
#[map]
pub(crate) static FACTS: HashMap<u32, Fact> = HashMap::with_max_entries(FACT_COUNT, 0);

/// Processes `exec` follows, by process id.
#[map]
pub(crate) static MEMBERS: HashMap<u32, u8> = HashMap::with_max_entries(MEMBER_COUNT, 0);

/// Accounts of processes, by process id.
#[map]
pub(crate) static PROCESSES: LruHashMap<u32, Account> = LruHashMap::with_max_entries(PROCESS_COUNT, 0);

/// Accounts of owners.
#[map]
pub(crate) static OWNERS: LruHashMap<AccountKey, Account> = LruHashMap::with_max_entries(OWNER_COUNT, 0);

/// Accounts past their budget of late, for user space to find; it also strikes them off again.
#[map]
pub(crate) static LISTED: HashMap<AccountKey, u32> = HashMap::with_max_entries(LISTED_COUNT, 0);

/// What an account begins with: zeros, but for who and when, written just before it is copied.
#[map]
static BLANK: PerCpuArray<Account> = PerCpuArray::with_max_entries(1, 0);

/// A new account on this CPU, for a process that was started at `start_ns`; see [`scratch`].
#[inline(always)]
pub(crate) fn blank<'a>(start_ns: u64, opened_ns: u64) -> Option<&'a Account> {
    // SAFETY: as there.
    let account = BLANK.get_ptr_mut(0).map(|account| unsafe { &mut *account })?;
    account.start_ns = start_ns;
    account.opened_ns = opened_ns;
    Some(account)
}

/// Where this CPU's next record is put together: the stack has no room for it.
#[map]
static SCRATCH: PerCpuArray<Call> = PerCpuArray::with_max_entries(4, 0);

/// Which element of the scratch maps: that of calls.
pub(crate) const CALLS: u32 = 0;
/// That of controls.
pub(crate) const CONTROLS: u32 = 1;
/// That of sends, and of both kinds of use where one program sees them.
pub(crate) const SENDS: u32 = 2;
/// That of receipts.
pub(crate) const RECEIPTS: u32 = 3;

/// This CPU's [`SCRATCH`] for calls, for controls, for sends or for receipts. One program of a rung uses each, and the kernel runs none twice at a
/// time on a CPU, so nobody else writes there before the record is in the ring.
#[inline(always)]
pub(crate) fn scratch<'a>(of: u32) -> Option<&'a mut Call> {
    // SAFETY: as said; the element lives as long as the map.
    SCRATCH.get_ptr_mut(of).map(|call| unsafe { &mut *call })
}

/// What was put together in [`scratch`] element `of`, for those who only read it.
#[inline(always)]
pub(crate) fn described<'a>(of: u32) -> Option<&'a Call> {
    // SAFETY: as there.
    SCRATCH.get_ptr(of).map(|call| unsafe { &*call })
}

/// Images that user space was told of, by process id.
#[map]
pub(crate) static IMAGES: LruHashMap<u32, Announced> = LruHashMap::with_max_entries(IMAGE_COUNT, 0);

/// As [`SCRATCH`], for the record that goes before it.
#[map]
static CONTEXT_SCRATCH: PerCpuArray<Context> = PerCpuArray::with_max_entries(4, 0);

/// This CPU's [`CONTEXT_SCRATCH`]; see [`scratch`].
#[inline(always)]
pub(crate) fn context_scratch<'a>(of: u32) -> Option<&'a mut Context> {
    // SAFETY: as there.
    CONTEXT_SCRATCH.get_ptr_mut(of).map(|context| unsafe { &mut *context })
}

/// Changes this CPU's counters. Programs of one kind do not nest on a CPU, so plain additions lose nothing.
#[inline(always)]
pub(crate) fn count(change: impl FnOnce(&mut Counters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: the pointer is this CPU's own element, valid for the run of the program.
        change(unsafe { &mut *counters });
    }
}

//! Where the allocation of queue ids stands in a namespace: the current task goes in, a [`Position`] comes out, or 42 bits
//! that hold one.

use msgget_trace_ebpf::{ABSENT, Position};

use crate::{object::at, task::Task};

/// How many bits [`pack`] needs.
pub(crate) const BITS: u32 = 42;

const VALID: u64 = 1 << (BITS - 1);
/// An index has at most 24 bits (`IPCMNI_EXTEND_SHIFT`, ipc/util.h), a sequence number 16; the index is kept one higher,
/// since it begins at -1.
const INDEX_BITS: u32 = 25;

/// Where it stands in the current task's IPC namespace.
#[inline(always)]
pub(crate) fn position() -> Position {
    unpack(packed_position())
}

/// Global for the reason that `current` gives.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn packed_position() -> u64 {
    // SAFETY: two pointers; an unsigned short, two ints.
    unsafe {
        let namespaces = Task::current().0.follow(at!(task_nsproxy));
        if namespaces.0.is_null() || at!(ipc_msg_seq) == ABSENT || at!(ipc_msg_last_idx) == ABSENT {
            return pack(Position::default());
        }
        let ipc = namespaces.follow(at!(nsproxy_ipc));
        // `ipc_idr_alloc` raises the sequence number first and sets the index second. Read in the same order twice,
        // they belong together if the number stayed; an index that is about to fall looks like a position ahead of
        // its time, which shows at exit as one that went backwards.
        let seq: u16 = ipc.get(at!(ipc_msg_seq));
        let last_idx: i32 = ipc.get(at!(ipc_msg_last_idx));
        let again: u16 = ipc.get(at!(ipc_msg_seq));
        let chosen = at!(ipc_msg_next_id) != ABSENT && ipc.get::<i32>(at!(ipc_msg_next_id)) != -1;
        pack(Position { seq: seq.into(), last_idx, valid: u32::from(seq == again && !chosen), reserved: 0 })
    }
}

/// As bits.
#[inline(always)]
pub(crate) fn pack(position: Position) -> u64 {
    let index = u64::from(position.last_idx.wrapping_add(1) as u32) & ((1 << INDEX_BITS) - 1);
    let valid = if position.valid != 0 { VALID } else { 0 };
    valid | (u64::from(position.seq & 0xffff) << INDEX_BITS) | index
}

/// From bits.
#[inline(always)]
pub(crate) fn unpack(word: u64) -> Position {
    let index = (word & ((1 << INDEX_BITS) - 1)) as u32;
    Position {
        seq: (word >> INDEX_BITS) as u32 & 0xffff,
        last_idx: index.wrapping_sub(1) as i32,
        valid: u32::from(word & VALID != 0),
        reserved: 0,
    }
}

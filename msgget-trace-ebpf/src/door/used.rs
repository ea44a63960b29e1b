//! The doors to `msgsnd` and `msgrcv`: saved registers go in; which of the two it was, by which door, of which queue and with
//! which arguments, comes out, or nothing when it was another call.
//!
//! Numbers and multiplexer: as for the other doors.

use msgget_trace_ebpf::{ABI_X32, ABI_X86_64, ENTRY_SYSCALL, Message};

use super::{Door, IPC_32, TS_COMPAT};
use crate::{
    object::{Object, at},
    task::Task,
};

/// `__NR_msgsnd` of x86-64.
pub(crate) const MSGSND_64: u64 = 69;
/// `__NR_msgrcv` of x86-64.
pub(crate) const MSGRCV_64: u64 = 70;
/// `__X32_SYSCALL_BIT`.
const X32: u64 = 1 << 30;
/// `__NR_msgsnd` of i386, since Linux 5.1.
const MSGSND_32: u64 = 400;
/// `__NR_msgrcv` of i386, since Linux 5.1.
const MSGRCV_32: u64 = 401;
/// `MSGSND` and `MSGRCV`, the numbers of the calls inside `ipc(2)`.
const IPC_MSGSND: u32 = 11;
const IPC_MSGRCV: u32 = 12;

/// `EINVAL` and `EIDRM`, include/uapi/asm-generic/errno-base.h and errno.h.
const EINVAL: i64 = 22;
const EIDRM: i64 = 43;

/// A call that is a `msgsnd` or a `msgrcv`. Its door has the queue's id and the flags.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) door: Door,
    pub(crate) message: Message,
}

/// True for what a call returns if its id is no queue's (any more).
#[inline(always)]
pub(crate) fn stale(ret: i64) -> bool {
    ret == -EINVAL || ret == -EIDRM
}

/// True for the numbers that may be one of the two, in one ABI or another.
#[inline(always)]
pub(crate) fn candidate(number: u64) -> bool {
    matches!(number & !X32, MSGSND_64 | MSGRCV_64) || matches!(number, MSGSND_32 | MSGRCV_32 | IPC_32)
}

impl Used {
    /// The 64-bit call `number`, which is one of the two.
    #[inline(always)]
    pub(crate) fn native(regs: Object, number: u64) -> Self {
        // SAFETY: registers are 8 bytes wide; of an int the kernel, too, takes the low half.
        let [di, dx, r10, r8] = unsafe {
            [
                regs.load::<u64>(at!(regs_di)),
                regs.load::<u64>(at!(regs_dx)),
                regs.load::<u64>(at!(regs_r10)),
                regs.load::<u64>(at!(regs_r8)),
            ]
        };
        let receives = number & !X32 == MSGRCV_64;
        let (r#type, msgflg) = if receives { (r10 as i64, r8) } else { (0, r10) };
        let abi = if number & X32 == 0 { ABI_X86_64 } else { ABI_X32 };
        let (entry, number) = (ENTRY_SYSCALL, number as u32);
        Self {
            door: Door { key: di as i32, msgflg: msgflg as i32, abi, entry, number, ipc_call: 0 },
            message: Message { size: dx, r#type },
        }
    }

    /// The call `number` of `task`, the current one, if it is one of the two.
    #[inline(always)]
    pub(crate) fn find(task: Task, regs: Object, number: u64) -> Option<Self> {
        if task.status() & TS_COMPAT == 0 {
            return matches!(number & !X32, MSGSND_64 | MSGRCV_64).then(|| Self::native(regs, number));
        }
        // SAFETY: registers are 8 bytes wide; of a 32-bit call the low halves count.
        let [bx, cx, dx, si, di, bp] = unsafe {
            [
                regs.load::<u64>(at!(regs_bx)),
                regs.load::<u64>(at!(regs_cx)),
                regs.load::<u64>(at!(regs_dx)),
                regs.load::<u64>(at!(regs_si)),
                regs.load::<u64>(at!(regs_di)),
                regs.load::<u64>(at!(regs_bp)),
            ]
        };
        let (id, r#type, msgflg, ipc_call) = match (number, bx as u32 & 0xffff) {
            (MSGSND_32, _) => (bx, 0, si, 0),
            (MSGRCV_32, _) => (bx, si, di, 0),
            (IPC_32, IPC_MSGSND) => (cx, 0, si, bx as u32),
            // Of version 0 the type stands in memory, which the caller may have changed since.
            (IPC_32, IPC_MSGRCV) => (cx, if bx as u32 >> 16 == 0 { 0 } else { bp }, si, bx as u32),
            _ => return None,
        };
        Some(Self {
            door: Door { key: id as i32, msgflg: msgflg as i32, ..Door::compat(regs, number, ipc_call) },
            // Both are signed where they are 32 bits wide (COMPAT_SYSCALL_DEFINE5(msgrcv), ipc/msg.c).
            message: Message { size: i64::from(dx as i32) as u64, r#type: i64::from(r#type as i32) },
        })
    }
}

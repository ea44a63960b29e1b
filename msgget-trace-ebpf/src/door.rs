//! The doors to `msgget` and `msgctl`: saved registers go in; which call it was, by which ABI and instruction, with which arguments,
//! comes out, or nothing when it was another call.
//!
//! Numbers: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl; `ipc(2)`: ipc/syscall.c.

pub(crate) mod used;

use aya_ebpf::{bindings::task_struct, helpers::generated::bpf_task_pt_regs};
use msgget_trace_ebpf::{ABI_I386, ABI_X32, ABI_X86_64, ABSENT, ENTRY_32, ENTRY_INT80_64, ENTRY_SYSCALL};

use crate::{
    object::{Object, at},
    task::Task,
};

/// `__NR_msgget` of x86-64.
pub(crate) const MSGGET_64: u64 = 68;
/// The same for x32: `__X32_SYSCALL_BIT`.
pub(crate) const MSGGET_X32: u64 = 68 | 1 << 30;
/// `__NR_msgget` of i386, since Linux 5.1.
pub(crate) const MSGGET_32: u64 = 399;
/// `__NR_ipc` of i386, the multiplexer of all System V calls.
pub(crate) const IPC_32: u64 = 117;
/// `MSGGET`, the number of the call inside `ipc(2)`: the low half of its first argument.
const IPC_MSGGET: u32 = 13;
/// `__NR_msgctl` of x86-64.
pub(crate) const MSGCTL_64: u64 = 71;
/// The same for x32.
pub(crate) const MSGCTL_X32: u64 = 71 | 1 << 30;
/// `__NR_msgctl` of i386, since Linux 5.1.
pub(crate) const MSGCTL_32: u64 = 402;
/// `MSGCTL`, the number of the call inside `ipc(2)`.
const IPC_MSGCTL: u32 = 14;
/// `IPC_RMID` and `IPC_SET`, include/uapi/linux/ipc.h: what removes and what changes.
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
/// `IPC_64`, ipc/util.h: a 32-bit caller may add it to the command, and the kernel takes it out again.
const IPC_64: i32 = 0x100;
/// `TS_COMPAT`, arch/x86/include/asm/thread_info.h: set for the whole of a 32-bit system call.
const TS_COMPAT: u32 = 2;
/// `__USER_CS`: the segment of 64-bit code.
const USER_CS: u16 = 0x33;

/// A call that is a `msgget`; or a `msgctl`, whose arguments are an id and a command.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    /// First argument: a key, or an id.
    pub(crate) key: i32,
    /// Second argument: flags, or a command.
    pub(crate) msgflg: i32,
    pub(crate) abi: u32,
    pub(crate) entry: u32,
    pub(crate) number: u32,
    pub(crate) ipc_call: u32,
}

/// True for the commands of `msgctl` that remove or change a queue.
#[inline(always)]
pub(crate) fn changes(cmd: i32) -> bool {
    cmd == IPC_RMID || cmd == IPC_SET
}

/// The registers that `task`, the current one, saved when it entered the kernel. They stay as they are until it returns to
/// user space; a tracer can change them only before the enter hook.
#[inline(always)]
pub(crate) fn registers(task: Task) -> Object {
    // SAFETY: the task is the current one; the helper (Linux 5.15) never returns null.
    Object::new(unsafe { bpf_task_pt_regs(task.pointer().cast_mut().cast::<task_struct>()) } as *const u8)
}

impl Door {
    /// A 64-bit `msgget`: what the per-call tracepoints see, and nothing else.
    #[inline(always)]
    pub(crate) fn native(regs: Object) -> Self {
        // SAFETY: registers are 8 bytes wide; the kernel, too, takes the low half of each (SYSCALL_DEFINE2(msgget)).
        let (key, msgflg) = unsafe { (regs.load::<u64>(at!(regs_di)), regs.load::<u64>(at!(regs_si))) };
        Self {
            key: key as i32,
            msgflg: msgflg as i32,
            abi: ABI_X86_64,
            entry: ENTRY_SYSCALL,
            number: MSGGET_64 as u32,
            ipc_call: 0,
        }
    }

    /// The call `number` of `task`, the current one, if it is a `msgget`.
    #[inline(always)]
    pub(crate) fn find(task: Task, regs: Object, number: u64) -> Option<Self> {
        if task.status() & TS_COMPAT == 0 {
            let native = Self::native(regs);
            return match number {
                MSGGET_64 => Some(native),
                MSGGET_X32 => Some(Self { abi: ABI_X32, number: MSGGET_X32 as u32, ..native }),
                _ => None,
            };
        }
        // SAFETY: registers are 8 bytes wide; of a 32-bit call the low halves count.
        let [bx, cx, dx] =
            unsafe { [regs.load::<u64>(at!(regs_bx)), regs.load::<u64>(at!(regs_cx)), regs.load::<u64>(at!(regs_dx))] };
        let (key, msgflg, ipc_call) = match number {
            MSGGET_32 => (bx, cx, 0),
            IPC_32 if bx as u32 & 0xffff == IPC_MSGGET => (cx, dx, bx as u32),
            _ => return None,
        };
        Some(Self { key: key as i32, msgflg: msgflg as i32, ..Self::compat(regs, number, ipc_call) })
    }

    /// A 64-bit `msgctl` that removes or changes, if it is one.
    #[inline(always)]
    pub(crate) fn native_control(regs: Object) -> Option<Self> {
        let native = Self { number: MSGCTL_64 as u32, ..Self::native(regs) };
        changes(native.msgflg).then_some(native)
    }

    /// The call `number` of `task`, the current one, if it is a `msgctl` that removes or changes.
    #[inline(always)]
    pub(crate) fn control(task: Task, regs: Object, number: u64) -> Option<Self> {
        if task.status() & TS_COMPAT == 0 {
            return match number {
                MSGCTL_64 => Self::native_control(regs),
                MSGCTL_X32 => {
                    Self::native_control(regs).map(|door| Self { abi: ABI_X32, number: MSGCTL_X32 as u32, ..door })
                }
                _ => None,
            };
        }
        // SAFETY: as in `find`.
        let [bx, cx, dx] =
            unsafe { [regs.load::<u64>(at!(regs_bx)), regs.load::<u64>(at!(regs_cx)), regs.load::<u64>(at!(regs_dx))] };
        let (id, cmd, ipc_call) = match number {
            MSGCTL_32 => (bx, cx, 0),
            IPC_32 if bx as u32 & 0xffff == IPC_MSGCTL => (cx, dx, bx as u32),
            _ => return None,
        };
        if !changes(cmd as i32 & !IPC_64) {
            return None;
        }
        Some(Self { key: id as i32, msgflg: cmd as i32, ..Self::compat(regs, number, ipc_call) })
    }

    /// A removal that nobody asked for: the namespace has ended.
    #[inline(always)]
    pub(crate) fn removal() -> Self {
        Self { key: 0, msgflg: IPC_RMID, abi: ABI_X86_64, entry: ENTRY_SYSCALL, number: 0, ipc_call: 0 }
    }

    /// The 32-bit call `number`, still without arguments.
    #[inline(always)]
    fn compat(regs: Object, number: u64, ipc_call: u32) -> Self {
        let entry = if code_segment(regs) == USER_CS { ENTRY_INT80_64 } else { ENTRY_32 };
        Self { key: 0, msgflg: 0, abi: ABI_I386, entry, number: number as u32, ipc_call }
    }
}

#[inline(always)]
fn code_segment(regs: Object) -> u16 {
    // SAFETY: the member is as wide as the offset that is not absent says.
    unsafe {
        if at!(regs_cs) == ABSENT { regs.load::<u64>(at!(regs_cs_wide)) as u16 } else { regs.load::<u16>(at!(regs_cs)) }
    }
}

/// Number of the system call that saved `regs`: the low half of the register, as the kernel takes it (`do_syscall_64`,
/// arch/x86/entry/common.c), whatever the caller left above.
#[inline(always)]
pub(crate) fn number(regs: Object) -> u64 {
    // SAFETY: a register.
    unsafe { regs.load::<u64>(at!(regs_orig_ax)) & u64::from(u32::MAX) }
}

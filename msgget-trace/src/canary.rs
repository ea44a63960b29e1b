//! The canary: a call of the daemon's own goes in at the top of the pipeline; that it comes out at the bottom, with the
//! identity that /proc states, is the proof that the daemon sees.
//!
//! It asks for a queue with a random key and without IPC_CREAT: ENOENT is expected, nothing is created.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use thiserror::Error;

use crate::event::{Abi, Call, Caller, Entry, Errno, Ids, Outcome, before_nul};

/// How far a canary came that did not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The daemon made the call, no hook saw it.
    Call,
    /// The hook ran, no record reached the ring.
    Hook,
    /// A record was put into the ring, and none was read.
    Ring,
    /// Records were read, and decode refused them.
    Decode,
}

impl Stage {
    const fn describe(self) -> &'static str {
        match self {
            Self::Call => {
                "the call itself (the hook is attached but did not fire, or a seccomp filter keeps the daemon from calling)"
            }
            Self::Hook => "the hook (it fired, but no record reached the ring)",
            Self::Ring => "the ring (the record was submitted, but not read)",
            Self::Decode => "decode (it refused the record)",
        }
    }
}

/// Why the daemon does not trust its eyes.
#[derive(Debug, Error)]
pub enum CanaryLost {
    /// It did not come back in time.
    #[error("the canary, a msgget of the daemon's own, did not come back: it was last seen at {where_}, so calls would be missed; --kernel-log debug may say more", where_ = .0.describe())]
    Late(Stage),
    /// It came back changed.
    #[error(
        "the canary, a msgget of the daemon's own, came back from decode wrong: {field} is {found} instead of {expected}; a \
         seccomp filter on the daemon, or fields this kernel keeps elsewhere, would explain it"
    )]
    Wrong {
        /// What differs.
        field: &'static str,
        /// According to /proc or to the call's own result.
        expected: String,
        /// According to the record.
        found: String,
    },
    /// The random key named a queue.
    #[error("key {0:#010x}, drawn at random to be nobody's, has a queue; run again")]
    KeyTaken(i32),
}

/// Who we are, as /proc says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    ids: Ids,
    uids: [u32; 4],
    mnt_ns: u32,
    pid_ns: u32,
    ipc_ns: u32,
    /// In clock ticks, /proc/PID/stat field 22; its unit is 1/100 s on every architecture (USER_HZ).
    start_ticks: u64,
    comm: Vec<u8>,
}

/// ns in a tick of /proc/PID/stat.
const TICK: u64 = 10_000_000;

impl Identity {
    /// Reads that of the calling thread.
    ///
    /// # Errors
    /// When /proc is not there or not readable.
    pub fn read() -> io::Result<Self> {
        let inode = |name: &str| {
            let metadata = fs::metadata(format!("/proc/thread-self/ns/{name}"))?;
            u32::try_from(metadata.ino()).map_err(io::Error::other)
        };
        let mut comm = fs::read("/proc/thread-self/comm")?;
        comm.pop_if(|byte| *byte == b'\n');
        // SAFETY: system calls without arguments that always succeed.
        let (ids, uids) = unsafe {
            let ids = [libc::getpid(), libc::gettid(), libc::getppid()].map(i32::cast_unsigned);
            (ids, [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()])
        };
        let [pid, tid, ppid] = ids;
        Ok(Self {
            ids: Ids { pid, tid, ppid },
            uids,
            mnt_ns: inode("mnt")?,
            pid_ns: inode("pid")?,
            ipc_ns: inode("ipc")?,
            start_ticks: start_ticks(&fs::read("/proc/thread-self/stat")?)?,
            comm,
        })
    }

    /// Process id and inode number of its namespace: how the kernel program tells the daemon.
    #[must_use]
    pub const fn process(&self) -> (u32, u32) {
        (self.ids.pid, self.pid_ns)
    }

    /// Compares every fact about `caller` with ours.
    fn check(&self, caller: &Caller) -> Result<(), CanaryLost> {
        compare("ids", caller.namespaced, self.ids)?;
        let [uid, euid, gid, egid] = self.uids;
        compare("uid", caller.uid, uid)?;
        compare("euid", caller.euid, euid)?;
        compare("gid", caller.gid, gid)?;
        compare("egid", caller.egid, egid)?;
        compare("mount namespace", caller.mnt_ns, self.mnt_ns)?;
        compare("ipc namespace", caller.ipc_ns, self.ipc_ns)?;
        compare("start time in ticks", caller.thread_started.map(|start| start.0 / TICK), self.start_ticks)?;
        compare("comm", Some(before_nul(&caller.comm)), &self.comm[..])
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    found: Option<T>,
    expected: T,
) -> Result<(), CanaryLost> {
    match found {
        Some(found) if found != expected => {
            Err(CanaryLost::Wrong { field, expected: format!("{expected:?}"), found: format!("{found:?}") })
        }
        _ => Ok(()),
    }
}

/// Field 22 of /proc/PID/stat, proc_pid_stat(5). The command name before it may hold anything, brackets included.
fn start_ticks(stat: &[u8]) -> io::Result<u64> {
    let after_comm = stat.iter().rposition(|byte| *byte == b')').map_or(&[][..], |end| &stat[end + 1..]);
    let field = after_comm.split(|byte| *byte == b' ').nth(20).unwrap_or_default();
    let text = std::str::from_utf8(field).map_err(io::Error::other)?;
    text.parse().map_err(|error| io::Error::other(format!("/proc/thread-self/stat: {error}")))
}

/// Who makes a proving call, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    /// This thread, as everybody does.
    Native,
    /// A child process, by `int 0x80`.
    Int80,
}

/// One proving call.
#[derive(Debug)]
pub struct Canary {
    key: i32,
    identity: Identity,
    flight: Flight,
}

impl Canary {
    /// Makes the call from this thread.
    ///
    /// # Errors
    /// [`CanaryLost::KeyTaken`].
    pub fn fly(key: i32, identity: Identity) -> Result<Self, CanaryLost> {
        // SAFETY: a system call on two numbers; without IPC_CREAT it changes nothing.
        let queue = unsafe { libc::msgget(key, 0) };
        if queue >= 0 { Err(CanaryLost::KeyTaken(key)) } else { Ok(Self { key, identity, flight: Flight::Native }) }
    }

    /// Has a child process make the call by `int 0x80`, from 64-bit code.
    #[must_use]
    pub fn fly_int80(key: i32, identity: Identity) -> Self {
        in_child(I386_MSGGET, key);
        Self { key, identity, flight: Flight::Int80 }
    }

    /// Whether the kernel answers to `int 0x80`: not without IA32 emulation, nor on another architecture.
    #[must_use]
    pub fn int80_answers() -> bool {
        in_child(I386_GETPID, 0)
    }

    /// True if `call` is this canary, or another one that we sent with its key.
    #[must_use]
    pub fn ours(&self, call: &Call) -> bool {
        let us = self.identity.ids.pid;
        call.key == self.key
            && call.caller.pid_ns == Some(self.identity.pid_ns)
            && call.caller.namespaced.is_some_and(|ids| ids.pid == us || ids.ppid == us)
    }

    /// True if `call`, which is one of ours, is this very canary.
    #[must_use]
    pub fn is(&self, call: &Call) -> bool {
        let by_us = call.caller.namespaced.is_some_and(|ids| ids.pid == self.identity.ids.pid);
        by_us == (self.flight == Flight::Native)
    }

    /// Compares `call`, which is this canary, with what is known of it.
    ///
    /// # Errors
    /// [`CanaryLost::Wrong`].
    pub fn check(&self, call: &Call) -> Result<(), CanaryLost> {
        let wanted = Outcome::Failed(Errno::ENOENT);
        if call.outcome != wanted {
            let result =
                Errno::from_result(call.result).map_or_else(|| call.result.to_string(), |errno| errno.to_string());
            let found = format!("{} ({result})", call.outcome.name());
            return Err(CanaryLost::Wrong { field: "outcome", expected: format!("failed ({})", Errno::ENOENT), found });
        }
        match self.flight {
            Flight::Native => {
                compare("entry", Some(call.door.entry), Entry::Syscall)?;
                self.identity.check(&call.caller)
            }
            Flight::Int80 => {
                compare("abi", Some(call.door.abi), Abi::I386)?;
                compare("entry", Some(call.door.entry), Entry::Int80From64)
            }
        }
    }
}

/// Makes an i386 call in a child process, which dies of it where the kernel does not answer. True if it returned.
fn in_child(number: i32, argument: i32) -> bool {
    // SAFETY: the child does nothing but make the call and leave; this process has one thread.
    unsafe {
        match libc::fork() {
            -1 => false,
            0 => libc::_exit(i32::from(int80(number, argument) == -libc::ENOSYS)),
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0) == child
                    && libc::WIFEXITED(status)
                    && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}

/// Numbers of arch/x86/entry/syscalls/syscall_32.tbl.
const I386_MSGGET: i32 = 399;
const I386_GETPID: i32 = 20;

/// The i386 call `number` with one argument and a 0, by `int 0x80` from 64-bit code; returns what the kernel puts into eax.
#[cfg(target_arch = "x86_64")]
fn int80(number: i32, argument: i32) -> i32 {
    let result: i32;
    // SAFETY: int 0x80 changes eax, and r8 to r11 on some kernels; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {argument}",
            "int 0x80",
            "xchg rbx, {argument}",
            argument = inout(reg) i64::from(argument) => _,
            inlateout("eax") number => result,
            in("ecx") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: i32, _: i32) -> i32 {
    -libc::ENOSYS
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_hostile_name_does_not_move_the_fields() {
        let stat = b"7 (a) R 1 (b) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(start_ticks(stat).unwrap(), 4711);
        assert!(start_ticks(b"7 (x").is_err());
    }

    #[test]
    fn each_stage_names_itself() {
        let message = CanaryLost::Late(Stage::Hook).to_string();
        assert!(message.contains("the hook (it fired"), "{message}");
    }
}

//! The canary: a call of the daemon's own goes in at the top of the pipeline; that it comes out at the bottom, with the
//! identity that /proc states, is the proof that the daemon sees.
//!
//! It asks for a queue with a random key and without IPC_CREAT: ENOENT is expected, nothing is created.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use thiserror::Error;

use crate::event::{Call, Errno, Ids, Outcome, before_nul};

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
            Self::Call => "the call itself (the hook is attached but did not fire)",
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

    /// True if `call` was made by this process.
    fn made(&self, call: &Call) -> bool {
        call.pid_ns == Some(self.pid_ns) && call.namespaced.is_some_and(|ids| ids.pid == self.ids.pid)
    }

    /// Compares every fact that `call` has with ours.
    fn check(&self, call: &Call) -> Result<(), CanaryLost> {
        let wanted = Outcome::Failed(Errno::ENOENT);
        if call.outcome != wanted {
            let result =
                Errno::from_result(call.result).map_or_else(|| call.result.to_string(), |errno| errno.to_string());
            let found = format!("{} ({result})", call.outcome.name());
            return Err(CanaryLost::Wrong {
                field: "outcome",
                expected: format!("failed ({})", Errno::ENOENT),
                found,
            });
        }
        compare("ids", call.namespaced, self.ids)?;
        let [uid, euid, gid, egid] = self.uids;
        compare("uid", call.uid, uid)?;
        compare("euid", call.euid, euid)?;
        compare("gid", call.gid, gid)?;
        compare("egid", call.egid, egid)?;
        compare("mount namespace", call.mnt_ns, self.mnt_ns)?;
        compare("ipc namespace", call.ipc_ns, self.ipc_ns)?;
        compare(
            "start time in ticks",
            call.thread_started.map(|start| start.0 / TICK),
            self.start_ticks,
        )?;
        compare("comm", Some(before_nul(&call.comm)), &self.comm[..])
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    found: Option<T>,
    expected: T,
) -> Result<(), CanaryLost> {
    match found {
        Some(found) if found != expected => Err(CanaryLost::Wrong {
            field,
            expected: format!("{expected:?}"),
            found: format!("{found:?}"),
        }),
        _ => Ok(()),
    }
}

/// Field 22 of /proc/PID/stat, proc_pid_stat(5). The command name before it may hold anything, brackets included.
fn start_ticks(stat: &[u8]) -> io::Result<u64> {
    let after_comm = stat
        .iter()
        .rposition(|byte| *byte == b')')
        .map_or(&[][..], |end| &stat[end + 1..]);
    let field = after_comm.split(|byte| *byte == b' ').nth(20).unwrap_or_default();
    let text = std::str::from_utf8(field).map_err(io::Error::other)?;
    text.parse()
        .map_err(|error| io::Error::other(format!("/proc/thread-self/stat: {error}")))
}

/// One proving call.
#[derive(Debug)]
pub struct Canary {
    key: i32,
    identity: Identity,
}

impl Canary {
    /// Makes the call from this thread.
    ///
    /// # Errors
    /// [`CanaryLost::KeyTaken`].
    pub fn fly(key: i32, identity: Identity) -> Result<Self, CanaryLost> {
        // SAFETY: a system call on two numbers; without IPC_CREAT it changes nothing.
        let queue = unsafe { libc::msgget(key, 0) };
        if queue >= 0 {
            Err(CanaryLost::KeyTaken(key))
        } else {
            Ok(Self { key, identity })
        }
    }

    /// True if `call` is this canary.
    #[must_use]
    pub fn is(&self, call: &Call) -> bool {
        call.key == self.key && self.identity.made(call)
    }

    /// Compares `call`, which is this canary, with what /proc says.
    ///
    /// # Errors
    /// [`CanaryLost::Wrong`].
    pub fn check(&self, call: &Call) -> Result<(), CanaryLost> {
        self.identity.check(call)
    }
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

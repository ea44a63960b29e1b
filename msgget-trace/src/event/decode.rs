//! Decode: the bytes of a record go in, a [`Call`] comes out, or the reason why they are none. Pure; nothing in a record
//! is trusted.

use msgget_trace_ebpf::{ABSENT, Call as Record, EVICTED, NOT_EXECUTED, Offsets, PAIRED};
use thiserror::Error;
use uuid::Uuid;

use super::{BootTime, Call, CallId, Errno, IPC_PRIVATE, Ids, MsgFlags, Outcome};

/// For how long after attaching an exit without an enter may be a call that was already under way: 1 s, in ns.
pub const ATTACH_GRACE: u64 = 1_000_000_000;

/// Why bytes are no record of ours. Whoever sees one has found a defect, or a program that is not ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Not the length of any record.
    #[error("a record of {0} bytes, not {expected}", expected = size_of::<Record>())]
    Length(usize),
    /// Written by another version, or of an unknown kind.
    #[error("a record of version {version}, kind {kind} and stated size {size}")]
    Header {
        /// As stated.
        version: u16,
        /// As stated.
        kind: u16,
        /// As stated, in bytes.
        size: u32,
    },
    /// A field holds what the kernel program never writes.
    #[error("a record whose field {field} is {value}")]
    Field {
        /// Its name in the ABI.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// What decoding needs to know besides the bytes; fixed for a run.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Which ring is read.
    pub ring: Uuid,
    /// Which members this kernel has.
    pub offsets: Offsets,
    /// When the hooks were attached.
    pub attached: BootTime,
    /// When they began to be detached, enter before exit.
    pub detached: Option<BootTime>,
}

impl Decoder {
    /// Decodes the record at `position` of the ring.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn decode(&self, position: u64, bytes: &[u8]) -> Result<Call, Malformed> {
        let record = Record::from_bytes(bytes).ok_or(Malformed::Length(bytes.len()))?;
        if record.header != Record::HEADER {
            let msgget_trace_ebpf::Header { version, kind, size } = record.header;
            return Err(Malformed::Header { version, kind, size });
        }
        plausible(&record)?;

        let offsets = &self.offsets;
        let have = |offset: u32| offset != ABSENT;
        let when = |ns: u64| have(offsets.task_start_boottime).then_some(BootTime(ns));
        // The program writes 0 where it could not look into a namespace; no id and no inode number is 0.
        let pid_ns = (record.pid_ns != 0).then_some(record.pid_ns);
        let flags = MsgFlags(record.msgflg);
        Ok(Call {
            id: CallId {
                ring: self.ring,
                position,
            },
            key: record.key,
            flags,
            result: record.ret,
            outcome: self.outcome(&record, flags),
            entered: (record.pairing == PAIRED).then_some(BootTime(record.enter_ns)),
            left: BootTime(record.exit_ns),
            cpu: record.cpu,
            host: Ids {
                pid: record.pid,
                tid: record.tid,
                ppid: record.ppid,
            },
            namespaced: (pid_ns.is_some() && record.ns_pid != 0 && record.ns_tid != 0).then_some(Ids {
                pid: record.ns_pid,
                tid: record.ns_tid,
                ppid: record.ns_ppid,
            }),
            thread_started: when(record.thread_start_ns),
            process_started: when(record.process_start_ns),
            parent_started: when(record.parent_start_ns),
            uid: have(offsets.cred_uid).then_some(record.uid),
            euid: have(offsets.cred_euid).then_some(record.euid),
            gid: have(offsets.cred_gid).then_some(record.gid),
            egid: have(offsets.cred_egid).then_some(record.egid),
            mnt_ns: have(offsets.mnt_inum).then_some(record.mnt_ns),
            pid_ns,
            ipc_ns: have(offsets.ipc_inum).then_some(record.ipc_ns),
            cgroup_id: record.cgroup_id,
            comm: record.comm,
            nodename: have(offsets.uts_nodename).then_some(record.nodename),
        })
    }

    /// What flags and result say; `ipcget` (ipc/util.c) is the truth behind each line.
    fn outcome(&self, record: &Record, flags: MsgFlags) -> Outcome {
        match record.pairing {
            EVICTED => return Outcome::Unpaired,
            // Nobody entered; or we came too late, or left too early, to see it.
            NOT_EXECUTED => {
                let left = BootTime(record.exit_ns);
                // A thread that is younger than the hooks was seen entering, if it did.
                let older = self.offsets.task_start_boottime == ABSENT || record.thread_start_ns <= self.attached.0;
                let late = older && left.since(self.attached) < ATTACH_GRACE;
                let early = self.detached.is_some_and(|detached| left >= detached);
                return if late || early {
                    Outcome::Unpaired
                } else {
                    Outcome::NotExecuted
                };
            }
            _ => {}
        }
        if let Some(errno) = Errno::from_result(record.ret) {
            Outcome::Failed(errno)
        } else if record.key == IPC_PRIVATE || flags.has(MsgFlags::IPC_CREAT | MsgFlags::IPC_EXCL) {
            Outcome::Created
        } else if flags.has(MsgFlags::IPC_CREAT) {
            Outcome::Ambiguous
        } else {
            Outcome::Opened
        }
    }
}

/// Refuses field values that the kernel program cannot have written.
fn plausible(record: &Record) -> Result<(), Malformed> {
    let refuse = |field, value| Err(Malformed::Field { field, value });
    if record.pairing > EVICTED {
        return refuse("pairing", record.pairing.into());
    }
    if record.reserved != 0 {
        return refuse("reserved", record.reserved.into());
    }
    if (record.pairing == PAIRED) != (record.enter_ns != 0) || record.enter_ns > record.exit_ns {
        return refuse("enter_ns", record.enter_ns);
    }
    if record.tid == 0 || record.pid == 0 {
        return refuse("tid", record.tid.into());
    }
    if record.comm[record.comm.len() - 1] != 0 {
        return refuse("comm", record.comm[record.comm.len() - 1].into());
    }
    // An id or an errno: ipc/util.c returns an int. Beyond it only an answer that is not the kernel's own can lie.
    if record.pairing == PAIRED && i32::try_from(record.ret).is_err() {
        return refuse("ret", record.ret.cast_unsigned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;

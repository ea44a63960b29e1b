//! A queue id of the IPC namespace this thread is in goes in, the kernel's record of that queue comes out.

use std::{io, mem};

use super::question::{Page, Queue};

/// Queues in an answer.
pub(super) const PAGE: usize = 32;
/// Indices looked at for one answer: ids are handed out in turn (idr_alloc_cyclic), so few queues may lie far apart.
/// They take about a millisecond.
const PROBES: usize = 4096;

/// `MSG_STAT_ANY`, include/uapi/linux/msg.h: the queue at an index, whatever its permissions.
const MSG_STAT_ANY: libc::c_int = 13;

/// What a queue is like.
///
/// # Errors
/// EINVAL or EIDRM when there is no queue of this id; EACCES, or what a security module says, when it is not shown.
pub(super) fn stat(id: i32) -> io::Result<Queue> {
    // The kernel itself takes the index out of an id (ipc_obtain_object_idr, ipc/util.c), however many bits that has:
    // 15, or 24 if it was booted with ipcmni_extend.
    match msgctl(id, MSG_STAT_ANY) {
        Ok((found, state)) if found == id => Ok(queue(id, &state)),
        // Another queue has the index now.
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EIDRM)),
        Err(error) if error.raw_os_error() == Some(libc::EIDRM) => Err(error),
        // Nothing at this index; or a system call filter that knows IPC_STAT only, which is then the last word.
        Err(_) => msgctl(id, libc::IPC_STAT).map(|(_, state)| queue(id, &state)),
    }
}

/// The queues from index `from` on: [`PAGE`] of them, or as many as [`PROBES`] indices have.
///
/// # Errors
/// As [`stat`] when one is not shown.
pub(super) fn page(from: u32) -> io::Result<Page> {
    let mut page = Page::default();
    let Ok(from) = i32::try_from(from) else {
        return Ok(page);
    };
    let (last, _) = msgctl(0, libc::MSG_INFO)?;
    for (probes, index) in (from..=last).enumerate() {
        if probes == PROBES || page.queues.len() == PAGE {
            page.next = Some(index.cast_unsigned());
            break;
        }
        match msgctl(index, MSG_STAT_ANY) {
            Ok((id, state)) => page.queues.push(queue(id, &state)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIDRM)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

fn msgctl(id: i32, command: libc::c_int) -> io::Result<(i32, libc::msqid_ds)> {
    // SAFETY: integers, for which all zeros is a value.
    let mut state: libc::msqid_ds = unsafe { mem::zeroed() };
    // SAFETY: `state` is valid for writing, and the longest of what these commands fill in.
    match unsafe { libc::msgctl(id, command, &raw mut state) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok((result, state)),
    }
}

fn queue(id: i32, state: &libc::msqid_ds) -> Queue {
    Queue {
        id,
        key: state.msg_perm.__key,
        uid: state.msg_perm.uid,
        gid: state.msg_perm.gid,
        cuid: state.msg_perm.cuid,
        cgid: state.msg_perm.cgid,
        mode: state.msg_perm.mode & 0o777,
        qnum: state.msg_qnum,
        cbytes: state.__msg_cbytes,
        qbytes: state.msg_qbytes,
        lspid: state.msg_lspid,
        lrpid: state.msg_lrpid,
        stime: state.msg_stime,
        rtime: state.msg_rtime,
        ctime: state.msg_ctime,
    }
}

//! Images: a call that is about to be sent goes in; what program made it, and what program its parent runs, goes out through
//! the ring in front of it, once per image.
//!
//! Addresses and helpers throughout, not loads that the verifier types: it lets nobody step from a `vfsmount` back to the
//! `mount` around it, nor read user memory. Where helpers are forbidden nothing is announced.

use aya_ebpf::helpers::{bpf_probe_read_user_buf, generated::bpf_probe_read_kernel_str};
use msgget_trace_ebpf::{ABSENT, ARGUMENTS_LEN, CUT, Call, Context, PATH_LEN, UNREAD};

use crate::{
    maps::{self, IMAGES, context_scratch},
    object::{at, frozen, read},
    submit,
    task::Task,
};

/// Room for one name and its NUL: `NAME_MAX` of include/uapi/linux/limits.h, and one.
const NAME_LEN: usize = 256;

/// Names and mount points on the way up, at most. The verifier walks every step of it.
const STEPS: u32 = 32;

/// An image that user space knows.
#[derive(Clone, Copy)]
pub(crate) struct Announced {
    /// When its process was started; with the process id it names the process.
    start: u64,
    /// Which of its programs.
    exec_id: u64,
    /// 1 when its command line was sent, too, which only the process itself can do.
    whole: u32,
    /// Which daemon was told.
    generation: u32,
}

/// Announces the images of `call`, which `task`, the current one, made; by the scratch element `of`.
#[inline(always)]
pub(crate) fn announce(task: Task, call: &Call, of: u32) {
    if frozen!(CONFIG.read_kernel) == 0 || at!(task_mm) == ABSENT || at!(mm_exe_file) == ABSENT {
        return;
    }
    let generation = maps::reader().generation;
    let own = Announced { start: call.process_start_ns, exec_id: call.exec_id, whole: 1, generation };
    let task = task.pointer() as u64;
    if !known(call.pid, own) {
        send(of, task, call.pid, own, || true);
    }
    let parents = Announced { start: call.parent_start_ns, exec_id: call.parent_exec_id, whole: 0, generation };
    if call.ppid != 0 && !known(call.ppid, parents) {
        // SAFETY: pointers and integers of their members' width.
        let parent: u64 = unsafe { read(task + u64::from(at!(task_real_parent))) };
        // It runs while we look: what was read counts only if it is the same process and program still.
        let still = || {
            // SAFETY: as above.
            unsafe {
                let leader: u64 = read(parent + u64::from(at!(task_group_leader)));
                read::<u32>(leader + u64::from(at!(task_tgid))) == call.ppid
                    && read::<u64>(leader + u64::from(at!(task_start_boottime))) == parents.start
                    && read::<u64>(leader + u64::from(at!(task_self_exec_id))) == parents.exec_id
            }
        };
        send(of, parent, call.ppid, parents, still);
    }
}

/// True if user space was told about `image` of process `pid`.
#[inline(always)]
fn known(pid: u32, image: Announced) -> bool {
    // SAFETY: another CPU may write the element meanwhile; a torn one equals no image, and the worst is one record more.
    let told = unsafe { IMAGES.get(pid) };
    told.is_some_and(|told| {
        told.generation == image.generation
            && told.start == image.start
            && told.exec_id == image.exec_id
            && told.whole >= image.whole
    })
}

/// Sends the image of the thread at `task` if it is `still` that of `pid` in the end. Remembered only once it is in the
/// ring: a call on another CPU may announce it a second time, but none can come before it.
#[inline(always)]
fn send(of: u32, task: u64, pid: u32, image: Announced, still: impl FnOnce() -> bool) {
    // SAFETY: pointers.
    let (mm, file) = unsafe {
        let mm: u64 = read(task + u64::from(at!(task_mm)));
        (mm, read::<u64>(mm + u64::from(at!(mm_exe_file))))
    };
    // A thread of the kernel has neither, nor has one that is exiting.
    if mm == 0 || file == 0 {
        return;
    }
    let Some(context) = context_scratch(of) else { return };
    context.header = Context::HEADER;
    context.process_start_ns = image.start;
    context.exec_id = image.exec_id;
    context.pid = pid;
    // SAFETY: two pointers, an unsigned long and a dev_t; all of them are absent or none is.
    unsafe {
        let inode: u64 = read(file + u64::from(at!(file_inode)));
        context.inode = read(inode + u64::from(at!(inode_ino)));
        context.device = read(read::<u64>(inode + u64::from(at!(inode_sb))) + u64::from(at!(sb_dev)));
    }
    walk(context, file);
    context.arguments_len = 0;
    context.arguments_flags = UNREAD;
    if image.whole != 0 {
        command_line(context, mm);
    }
    if !still() {
        return;
    }
    maps::count(|counters| submit::step(&mut counters.contexts_submitted, 1));
    if submit::send(context) {
        // Not remembered, it is announced again.
        let _ = IMAGES.insert(pid, image, 0);
    } else {
        maps::count(|counters| {
            submit::step(&mut counters.contexts_submitted, -1);
            submit::step(&mut counters.contexts_lost, 1);
        });
    }
}

/// Walks from `file` up to the root of its mount namespace, across mount points.
///
/// The length so far is kept in the record and read anew at every step. In a register the verifier would know its range, find
/// every combination of names and mount points on the way to differ in it, and follow each of them. A function of its own
/// for the same reason: whatever way was taken, nothing of it is left on the stack for the verifier to tell apart.
#[inline(never)]
fn walk(context: &mut Context, file: u64) {
    context.path_len = 0;
    context.path_flags = UNREAD;
    let needed = [
        at!(file_mnt),
        at!(file_dentry),
        at!(mnt_root),
        at!(mount_mnt),
        at!(mount_parent),
        at!(mount_mountpoint),
        at!(dentry_parent),
        at!(dentry_name),
    ];
    if needed.contains(&ABSENT) {
        return;
    }
    context.path_flags = CUT;
    let written = &raw mut context.path_len;
    // SAFETY: a part of `context`; pointers, and a string behind the last.
    unsafe {
        let mut mount: u64 = read(file + u64::from(at!(file_mnt)));
        let mut entry: u64 = read(file + u64::from(at!(file_dentry)));
        for _ in 0..STEPS {
            if entry == read::<u64>(mount + u64::from(at!(mnt_root))) {
                let inner = mount.wrapping_sub(u64::from(at!(mount_mnt)));
                let outer: u64 = read(inner + u64::from(at!(mount_parent)));
                if outer == inner {
                    context.path_flags = 0;
                    break;
                }
                entry = read(inner + u64::from(at!(mount_mountpoint)));
                mount = outer + u64::from(at!(mount_mnt));
                continue;
            }
            let length = written.read_volatile() as usize;
            if length > PATH_LEN - NAME_LEN {
                break;
            }
            let name: u64 = read(entry + u64::from(at!(dentry_name)));
            let room = &mut context.path[length..length + NAME_LEN];
            // The bytes written, NUL included.
            let got = bpf_probe_read_kernel_str(room.as_mut_ptr().cast(), NAME_LEN as u32, name as *const _);
            if got <= 0 {
                break;
            }
            written.write_volatile((length + got as usize) as u32);
            let above: u64 = read(entry + u64::from(at!(dentry_parent)));
            if above == entry {
                // The root of a file system that is mounted nowhere, such as that of memfd_create(2).
                context.path_flags = 0;
                break;
            }
            entry = above;
        }
    }
}

/// Reads the command line of the current process, whose memory `mm` describes.
#[inline(always)]
fn command_line(context: &mut Context, mm: u64) {
    if frozen!(CONFIG.command_lines) == 0 || at!(mm_arg_start) == ABSENT || at!(mm_arg_end) == ABSENT {
        return;
    }
    // SAFETY: unsigned longs.
    let (start, end): (u64, u64) =
        unsafe { (read(mm + u64::from(at!(mm_arg_start))), read(mm + u64::from(at!(mm_arg_end)))) };
    let length = end.saturating_sub(start);
    let (length, flags) = if length > ARGUMENTS_LEN as u64 { (ARGUMENTS_LEN, CUT) } else { (length as usize, 0) };
    // SAFETY: the helper checks the address.
    if unsafe { bpf_probe_read_user_buf(start as *const u8, &mut context.arguments[..length]) }.is_ok() {
        context.arguments_len = length as u32;
        context.arguments_flags = flags;
    }
}

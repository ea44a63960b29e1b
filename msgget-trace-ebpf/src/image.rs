//! Images: a call that is about to be sent goes in; what program made it, and what program its parent runs, goes out through
//! the ring in front of it, once per image.
//!
//! Addresses and helpers throughout, not loads that the verifier types: it lets nobody step from a `vfsmount` back to the
//! `mount` around it, nor read user memory. Where helpers are forbidden nothing is announced.

use aya_ebpf::helpers::{bpf_probe_read_user_buf, generated::bpf_probe_read_kernel_str};
use msgget_trace_ebpf::{ABSENT, ARGUMENTS_LEN, CUT, Call, Context, PATH_LEN, UNREAD};

use crate::{
    maps::{self, IMAGES, context_scratch, described},
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

/// Whose image [`send_image`] is to send.
const OWN: u32 = 0;
const PARENTS: u32 = 1;

/// The image of the caller of `call`, or of its parent.
#[inline(always)]
fn of(call: &Call, whose: u32) -> (u32, Announced) {
    let generation = maps::reader().generation;
    if whose == OWN {
        let (start, exec_id) = (call.process_start_ns, call.exec_id);
        (call.pid, Announced { start, exec_id, whole: 1, generation })
    } else {
        let (start, exec_id) = (call.parent_start_ns, call.parent_exec_id);
        (call.ppid, Announced { start, exec_id, whole: 0, generation })
    }
}

/// True where the helpers are allowed and the members known.
#[inline(always)]
fn can_look() -> bool {
    frozen!(CONFIG.read_kernel) != 0 && at!(task_mm) != ABSENT && at!(mm_exe_file) != ABSENT
}

/// Announces the images of `call`, which the current task made, and which is the scratch element `place`.
#[inline(always)]
pub(crate) fn announce(call: &Call, place: u32) {
    if !can_look() {
        return;
    }
    for whose in [OWN, PARENTS] {
        let (pid, image) = of(call, whose);
        if pid != 0 && !known(pid, image) {
            send_image(place, whose);
        }
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

/// Sends one image of the call in the scratch element `place`. Remembered only once it is in the ring: a call on another CPU
/// may announce it a second time, but none can come before it.
///
/// Global for the reason that `current` gives.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_image(place: u32, whose: u32) -> u32 {
    // Again, for it is checked by itself: what the verifier finds out of reach may hold what is forbidden.
    if !can_look() {
        return 0;
    }
    let (Some(call), Some(context)) = (described(place), context_scratch(place)) else { return 0 };
    let (pid, image) = of(call, whose);
    let mut task = Task::current().pointer() as u64;
    // SAFETY: pointers.
    let (mm, file) = unsafe {
        if whose != OWN {
            task = read(task + u64::from(at!(task_real_parent)));
        }
        let mm: u64 = read(task + u64::from(at!(task_mm)));
        (mm, read::<u64>(mm + u64::from(at!(mm_exe_file))))
    };
    // A thread of the kernel has neither, nor has one that is exiting.
    if mm == 0 || file == 0 {
        return 0;
    }
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
    if whose == OWN {
        command_line(context, mm);
    } else if !still(task, pid, image) {
        return 0;
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
    0
}

/// True if the thread at `parent` is still that of process `pid` and runs `image`. It runs while we look: what was read of it
/// counts only then.
#[inline(always)]
fn still(parent: u64, pid: u32, image: Announced) -> bool {
    // SAFETY: a pointer and integers of their members' width.
    unsafe {
        let leader: u64 = read(parent + u64::from(at!(task_group_leader)));
        read::<u32>(leader + u64::from(at!(task_tgid))) == pid
            && read::<u64>(leader + u64::from(at!(task_start_boottime))) == image.start
            && read::<u64>(leader + u64::from(at!(task_self_exec_id))) == image.exec_id
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

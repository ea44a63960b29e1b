//! The ways in. Each file is one family of programs: what the kernel calls goes in, an edge of a call comes out.

mod lifecycle;
mod tracepoint;

use crate::{
    maps::MEMBERS,
    task::{Task, frozen},
};

/// True if the calls of the current task are wanted.
#[inline(always)]
fn wanted() -> bool {
    if frozen!(CONFIG.follow) == 0 {
        return true;
    }
    let task = Task::current();
    let tgid = task.tgid();
    // SAFETY: the value is not used, so it does not matter what becomes of the element.
    unsafe { MEMBERS.get(tgid) }.is_some() || task.is_daemon()
}

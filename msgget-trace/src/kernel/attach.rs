//! Attaching: loaded programs go in, links come out; the hooks run for as long as these live.
//!
//! Exit before enter, so that no enter is left without its exit; detaching the other way round. What that leaves
//! unpaired at either end, decode knows by its time.

use std::{io, path::Path, ptr, thread};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, Program, ProgramError, TracePoint, tp_btf::BtfTracePointLink, trace_point::TracePointLink,
    },
};

use super::load::refused;
use crate::{config::Scope, failure::Failure};

/// Programs of the `tracepoint` rung: name in the object, event, in the order of attaching.
const EXIT: (&str, &str) = ("msgget_exit", "sys_exit_msgget");
const ENTER: (&str, &str) = ("msgget_enter", "sys_enter_msgget");

/// Programs of `exec`: name in the object, tracepoint.
const LIFECYCLE: [(&str, &str); 2] = [
    ("member_exit", "sched_process_exit"),
    ("member_fork", "sched_process_fork"),
];

/// Where tracefs may be mounted, Documentation/trace/ftrace.rst.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Attached hooks. Fields are dropped, and so detached, in this order.
#[derive(Debug)]
pub(super) struct Links {
    _enter: TracePointLink,
    _exit: TracePointLink,
    _lifecycle: Vec<BtfTracePointLink>,
}

impl Links {
    /// Loads the programs that `scope` needs.
    pub(super) fn load(ebpf: &mut Ebpf, scope: Scope) -> Result<(), Failure> {
        for (name, _) in [EXIT, ENTER] {
            tracepoint(ebpf, name)
                .and_then(TracePoint::load)
                .map_err(|error| refused(&format!("program {name}"), &error))?;
        }
        if scope == Scope::Descendants {
            let btf = Btf::from_sys_fs().map_err(|error| refused("the kernel's BTF", &error))?;
            for (name, event) in LIFECYCLE {
                btf_tracepoint(ebpf, name)
                    .and_then(|program| program.load(event, &btf))
                    .map_err(|error| refused(&format!("program {name}"), &error))?;
            }
        }
        Ok(())
    }

    /// Attaches what [`Self::load`] loaded: followed processes first, for they are to be known when the first call comes.
    pub(super) fn attach(ebpf: &mut Ebpf, scope: Scope) -> Result<Self, Failure> {
        let mut lifecycle = Vec::new();
        if scope == Scope::Descendants {
            for (name, _) in LIFECYCLE {
                let link = btf_tracepoint(ebpf, name).and_then(|program| {
                    let id = program.attach()?;
                    program.take_link(id)
                });
                lifecycle.push(link.map_err(|error| refused(&format!("attaching {name}"), &error))?);
            }
        }
        let (exit, enter) = with_tracefs(|| {
            let mut attach = |(name, event): (&str, &str)| {
                tracepoint(ebpf, name)
                    .and_then(|program| {
                        let id = program.attach("syscalls", event)?;
                        program.take_link(id)
                    })
                    .map_err(|error| refused(&format!("attaching to {event}"), &error))
            };
            Ok((attach(EXIT)?, attach(ENTER)?))
        })?;
        Ok(Self {
            _enter: enter,
            _exit: exit,
            _lifecycle: lifecycle,
        })
    }
}

fn tracepoint<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut TracePoint, ProgramError> {
    program(ebpf, name)?.try_into()
}

fn btf_tracepoint<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut BtfTracePoint, ProgramError> {
    program(ebpf, name)?.try_into()
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Program, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)
}

/// Runs `attach` where aya finds tracefs: here if it is mounted, else on a thread with a mount namespace of its own,
/// which ends with the thread, so that nothing of the mount is ever seen by others.
fn with_tracefs<T: Send>(attach: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    if TRACEFS.iter().any(|mount| Path::new(mount).join("events").is_dir()) {
        return attach();
    }
    let on_thread = || {
        mount_tracefs().map_err(Failure::Tracefs)?;
        attach()
    };
    thread::scope(|scope| scope.spawn(on_thread).join()).unwrap_or_else(|_| {
        Err(Failure::Internal {
            doing: "attaching",
            error: io::Error::other("the attaching thread panicked"),
        })
    })
}

/// Mounts tracefs for this thread alone.
fn mount_tracefs() -> io::Result<()> {
    let check = |result: i32| {
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: all arguments are constants or null; a thread that leaves the shared mount namespace harms no other.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            private,
            ptr::null(),
        ))?;
        check(libc::mount(
            c"nodev".as_ptr(),
            c"/sys/kernel/tracing".as_ptr(),
            c"tracefs".as_ptr(),
            0,
            ptr::null(),
        ))
    }
}

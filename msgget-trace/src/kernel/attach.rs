//! Attaching: loaded programs go in, links come out; the hooks run for as long as these live.
//!
//! What ends a call is attached before what begins it, so that no enter is left without its exit; detaching goes the other
//! way round. What that leaves unpaired at either end, decode knows by its time.

use std::{error::Error, ffi::CStr, io, path::Path, ptr, thread};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FEntry, FExit, Program, ProgramError, TracePoint,
        links::{FdLink, PinnedLink},
    },
};

use super::{
    Settings,
    load::{chain, refused},
};
use crate::{config::Scope, event::Rung, failure::Failure};

/// Where a program goes.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// `syscalls:` and this.
    Syscall(&'static str),
    /// The typed tracepoint of this name.
    TpBtf(&'static str),
    /// The beginning of this function.
    Entry(&'static str),
    /// The end of this function.
    Exit(&'static str),
}

impl Point {
    const fn name(self) -> &'static str {
        match self {
            Self::Syscall(name) | Self::TpBtf(name) | Self::Entry(name) | Self::Exit(name) => name,
        }
    }

    const fn typed(self) -> bool {
        !matches!(self, Self::Syscall(_))
    }
}

/// A program of the object, and where it goes.
type Hook = (&'static str, Point);

/// The programs of each rung, in the order of attaching; the first makes the records.
const fn hooks(rung: Rung) -> &'static [Hook] {
    match rung {
        Rung::Tracepoint => &[
            ("msgget_exit", Point::Syscall("sys_exit_msgget")),
            ("msgctl_exit", Point::Syscall("sys_exit_msgctl")),
            ("msgctl_enter", Point::Syscall("sys_enter_msgctl")),
            ("msgget_enter", Point::Syscall("sys_enter_msgget")),
        ],
        Rung::TpBtf => &[("any_exit", Point::TpBtf("sys_exit")), ("any_enter", Point::TpBtf("sys_enter"))],
        Rung::Fexit => &[
            ("ipcget_exit", Point::Exit("ipcget")),
            ("queue_created", Point::Exit("newque")),
            ("queue_removed", Point::Entry("freeque")),
            ("queue_opened", Point::Entry("security_msg_queue_associate")),
            ("ipcget_enter", Point::Entry("ipcget")),
        ],
    }
}

/// The programs that follow processes; before the others, for members are to be known when the first call comes.
const LIFECYCLE: &[Hook] =
    &[("member_exit", Point::TpBtf("sched_process_exit")), ("member_fork", Point::TpBtf("sched_process_fork"))];

/// The programs of each rung that see uses of queues that are not there, unless those above do.
const fn uses(rung: Rung) -> &'static [Hook] {
    match rung {
        Rung::Tracepoint => {
            &[("msgsnd_exit", Point::Syscall("sys_exit_msgsnd")), ("msgrcv_exit", Point::Syscall("sys_exit_msgrcv"))]
        }
        Rung::TpBtf => &[],
        Rung::Fexit => &[("message_sent", Point::Exit("do_msgsnd")), ("message_received", Point::Exit("do_msgrcv"))],
    }
}

/// The programs that make records under these settings, in the order of attaching.
fn recording(rung: Rung, stale_ids: bool) -> impl Iterator<Item = Hook> {
    let uses = if stale_ids { uses(rung) } else { &[] };
    hooks(rung).iter().chain(uses).copied()
}

/// All programs that these settings need.
fn needed(settings: &Settings) -> impl Iterator<Item = Hook> {
    let lifecycle = if settings.scope == Scope::Descendants { LIFECYCLE } else { &[] };
    lifecycle.iter().copied().chain(recording(settings.rung, settings.stale_ids))
}

/// Where tracefs may be mounted, Documentation/trace/ftrace.rst.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What keeps a program attached: a descriptor, or a file, which only its removal or a reboot ends.
#[derive(Debug)]
enum Link {
    Held(#[expect(dead_code, reason = "it is closed when dropped")] FdLink),
    Pinned(PinnedLink),
}

/// Attached hooks, in the order of attaching.
#[derive(Debug)]
pub(super) struct Links(Vec<Link>);

impl Links {
    /// Loads the programs that `settings` need.
    pub(super) fn load(ebpf: &mut Ebpf, settings: &Settings) -> Result<(), Failure> {
        let btf = if needed(settings).any(|(_, point)| point.typed()) {
            Some(Btf::from_sys_fs().map_err(|error| refused("the kernel's BTF", &error))?)
        } else {
            None
        };
        for (name, point) in needed(settings) {
            load(ebpf, name, point, btf.as_ref()).map_err(|error| refused(&format!("program {name}"), &error))?;
        }
        Ok(())
    }

    /// Attaches what [`Self::load`] loaded; pinned in the folder `set`, if there is one, as are the programs.
    pub(super) fn attach(ebpf: &mut Ebpf, settings: &Settings, set: Option<&Path>) -> Result<Self, Failure> {
        let mut all = || {
            let mut links = Self(Vec::new());
            for (name, point) in needed(settings) {
                let link = attach(ebpf, name, point);
                let link = link.map_err(|error| refused(&format!("attaching to {}", point.name()), &*error))?;
                links.0.push(match set {
                    None => Link::Held(link),
                    Some(set) => {
                        let failed = |error| Failure::Pins { path: set.to_owned(), error: io::Error::other(error) };
                        let program = ebpf.program_mut(name).ok_or_else(|| failed("no such program".into()));
                        program?.pin(set.join(format!("prog_{name}"))).map_err(|error| failed(chain(&error)))?;
                        let link = link.pin(set.join(format!("link_{name}"))).map_err(|error| failed(chain(&error)))?;
                        Link::Pinned(link)
                    }
                });
            }
            Ok(links)
        };
        if settings.rung == Rung::Tracepoint { with_tracefs(all) } else { all() }
    }

    /// The links in the folder `set`; `None` unless all of them are there.
    pub(super) fn adopt(rung: Rung, stale_ids: bool, set: &Path) -> Option<Self> {
        let adopt = |(name, _): Hook| PinnedLink::from_pin(set.join(format!("link_{name}"))).ok().map(Link::Pinned);
        recording(rung, stale_ids).map(adopt).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether the programs in the folder `set` are those that see uses of queues that are not there; `None` where the same
    /// programs do, if told to.
    pub(super) fn sees_uses(rung: Rung, set: &Path) -> Option<bool> {
        uses(rung).first().map(|(name, _)| set.join(format!("prog_{name}")).exists())
    }

    /// Detaches, what begins a call before what ends it, and removes the pins.
    pub(super) fn detach(mut self) {
        while let Some(link) = self.0.pop() {
            if let Link::Pinned(link) = link
                && let Err(error) = link.unpin()
                && error.kind() != io::ErrorKind::NotFound
            // somebody else removed it; what we held is closed
            {
                log::error!("a hook stays attached, because its pin cannot be removed: {error}");
            }
        }
    }

    /// Names of the programs of `rung` that make records.
    pub(super) fn programs(rung: Rung, stale_ids: bool) -> impl Iterator<Item = &'static str> {
        recording(rung, stale_ids).map(|(name, _)| name)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

fn load(ebpf: &mut Ebpf, name: &str, point: Point, btf: Option<&Btf>) -> Result<(), ProgramError> {
    match (point, btf) {
        (Point::Syscall(_), _) => program::<&mut TracePoint>(ebpf, name)?.load(),
        (Point::TpBtf(event), Some(btf)) => program::<&mut BtfTracePoint>(ebpf, name)?.load(event, btf),
        (Point::Entry(function), Some(btf)) => program::<&mut FEntry>(ebpf, name)?.load(function, btf),
        (Point::Exit(function), Some(btf)) => program::<&mut FExit>(ebpf, name)?.load(function, btf),
        (_, None) => Err(ProgramError::NotLoaded),
    }
}

fn attach(ebpf: &mut Ebpf, name: &str, point: Point) -> Result<FdLink, Box<dyn Error>> {
    match point {
        Point::Syscall(event) => {
            let program: &mut TracePoint = program(ebpf, name)?;
            let id = program.attach("syscalls", event)?;
            Ok(program.take_link(id)?.try_into()?)
        }
        Point::TpBtf(_) => {
            let program: &mut BtfTracePoint = program(ebpf, name)?;
            let id = program.attach()?;
            Ok(program.take_link(id)?.into())
        }
        Point::Entry(_) => {
            let program: &mut FEntry = program(ebpf, name)?;
            let id = program.attach()?;
            Ok(program.take_link(id)?.into())
        }
        Point::Exit(_) => {
            let program: &mut FExit = program(ebpf, name)?;
            let id = program.attach()?;
            Ok(program.take_link(id)?.into())
        }
    }
}

fn program<'e, P: TryFrom<&'e mut Program, Error = ProgramError>>(
    ebpf: &'e mut Ebpf,
    name: &str,
) -> Result<P, ProgramError> {
    P::try_from(ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?)
}

/// Runs `attach` where aya finds tracefs: here if it is mounted, else on a thread with a mount namespace of its own,
/// which ends with the thread, so that nothing of the mount is ever seen by others.
fn with_tracefs<T: Send>(attach: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    if TRACEFS.iter().any(|mount| Path::new(mount).join("events").is_dir()) {
        return attach();
    }
    // Without an internal mount, which it does not get under this lockdown, the last unmount of tracefs crashes Linux 6.12.
    if super::require::lockdown().is_some_and(|mode| mode == "confidentiality") {
        return Err(Failure::Tracefs(io::Error::other("lockdown=confidentiality empties it")));
    }
    on_private_mounts(|| {
        mount(c"tracefs", c"/sys/kernel/tracing").map_err(Failure::Tracefs)?;
        attach()
    })
    .unwrap_or_else(|error| Err(Failure::Tracefs(error)))
}

/// Runs `work` on a thread with a mount namespace of its own, in which it may mount what it likes.
pub(super) fn on_private_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let on_thread = || {
        // SAFETY: a thread that leaves the shared mount namespace harms no other.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: a constant path, and null where nothing is read.
        check(unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), private, ptr::null()) })?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(on_thread).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// Mounts the file system `kind`, which needs no device, at `target`.
pub(super) fn mount(kind: &CStr, target: &CStr) -> io::Result<()> {
    mount_with(kind, target, c"")
}

/// The same, with options.
pub(super) fn mount_with(kind: &CStr, target: &CStr, options: &CStr) -> io::Result<()> {
    // SAFETY: all strings end with NUL.
    check(unsafe { libc::mount(c"nodev".as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) })
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

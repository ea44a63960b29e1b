//! The kernel's type information goes in, the offsets that the kernel program needs come out.

use std::fs;

use msgget_trace_ebpf::{ABSENT, Offsets};

use super::{BTF_PATH, btf::Btf};
use crate::failure::Failure;

/// Members without which the daemon could not even know itself; every other may be absent.
const REQUIRED: [&str; 10] = [
    "task_struct.pid",
    "task_struct.tgid",
    "task_struct.group_leader",
    "task_struct.thread_pid",
    "pid.level",
    "pid.numbers",
    "pid_namespace.ns.inum",
    "pt_regs.di",
    "pt_regs.si",
    "pt_regs.orig_ax",
];

/// Resolves them for the running kernel.
///
/// # Errors
/// [`Failure::NoBtf`], [`Failure::Btf`].
pub(super) fn read() -> Result<Offsets, Failure> {
    let bytes = fs::read(BTF_PATH).map_err(|error| Failure::NoBtf { error })?;
    resolve(&Btf::parse(&bytes)?)
}

fn resolve(btf: &Btf<'_>) -> Result<Offsets, Failure> {
    Offsets::resolve(|structure, path, size| {
        let found = match btf.field(structure, path) {
            Ok(field) if size == 0 || field.size == size => return Ok(field.offset),
            Ok(field) => format!("{} bytes wide, not {size}", field.size),
            Err(error) if error.is_absent() => "absent".to_owned(),
            Err(error) => return Err(error.into()),
        };
        // What is not needed to know oneself may be missing, or be another thing than the one we would load: then the
        // event lacks it, too.
        if required(structure, path) {
            Err(Failure::Layout { member: format!("{structure}.{path}"), found })
        } else {
            Ok(ABSENT)
        }
    })
}

fn required(structure: &str, path: &str) -> bool {
    REQUIRED.iter().any(|name| name.strip_prefix(structure).and_then(|rest| rest.strip_prefix('.')) == Some(path))
}

//! What must be there before anything is tried: /proc and uname(2) go in, nothing or the first thing missing comes out.

use std::{fs, io};

use super::attach::{mount, on_private_mounts};
use crate::failure::Failure;

/// `bpf_task_pt_regs` and tracepoint links that can be pinned came with it.
const OLDEST: (u32, u32) = (5, 15);

/// Capability numbers of include/uapi/linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks kernel version and privileges.
///
/// # Errors
/// [`Failure::Kernel`] and [`Failure::Privileges`].
pub fn check() -> Result<(), Failure> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // uname(2), unlike /proc, also obeys the personality; either may be missing, not both.
    let release = uname_release().unwrap_or_else(|| release.trim().to_owned());
    if version(&release).is_none_or(|version| version < OLDEST) {
        return Err(Failure::Kernel(release));
    }
    let status = fs::read_to_string("/proc/self/status").map_err(Failure::internal("reading /proc/self/status"))?;
    match missing(effective(&status).map_err(Failure::internal("reading /proc/self/status"))?) {
        None => Ok(()),
        Some(missing) => Err(Failure::Privileges { missing }),
    }
}

/// How far the kernel is locked down against root, kernel_lockdown(7): `none`, `integrity` or `confidentiality`; `None` where
/// it has no such thing.
pub(super) fn lockdown() -> Option<String> {
    const PATH: &str = "/sys/kernel/security/lockdown";
    let read = || fs::read_to_string(PATH).ok();
    let mounted = || mount(c"securityfs", c"/sys/kernel/security").ok().and_then(|()| read());
    let modes = read().or_else(|| on_private_mounts(mounted).ok()?)?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Bits of a queue id that are its index: 15, or 24 where the kernel was started with `ipcmni_extend` (ipc/util.h).
#[must_use]
pub fn id_index_bits() -> u32 {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if command_line.split_whitespace().any(|word| word == "ipcmni_extend") { 24 } else { 15 }
}

fn uname_release() -> Option<String> {
    // SAFETY: an all-zero `utsname` is valid, and uname fills it with NUL-terminated strings.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        (libc::uname(&raw mut names) == 0).then_some(names)?
    };
    let release: Vec<u8> =
        names.release.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8(release).ok()
}

/// `6.18.44-cloud` is 6.18.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The effective capabilities of /proc/PID/status, proc_pid_status(5).
fn effective(status: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let hex = line.ok_or_else(|| io::Error::other("no CapEff line"))?;
    u64::from_str_radix(hex.trim(), 16).map_err(io::Error::other)
}

/// Names of the capabilities that are needed and missing; CAP_SYS_ADMIN stands for both (capabilities(7)).
fn missing(effective: u64) -> Option<String> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    let names: Vec<_> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter_map(|(capability, name)| (!has(capability)).then_some(name))
        .collect();
    (!has(CAP_SYS_ADMIN) && !names.is_empty()).then(|| names.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_kinds() {
        assert_eq!(version("6.18.44-cloud-amd64"), Some((6, 18)));
        assert_eq!(version("5.15"), Some((5, 15)));
        assert_eq!(version("6.1.0-rc1"), Some((6, 1)));
        assert_eq!(version("banana"), None);
    }

    #[test]
    fn the_administrator_may_everything() {
        assert_eq!(missing(1 << CAP_SYS_ADMIN), None);
        assert_eq!(missing(1 << CAP_BPF | 1 << CAP_PERFMON), None);
        assert_eq!(missing(1 << CAP_BPF).as_deref(), Some("CAP_PERFMON"));
        assert_eq!(missing(0).as_deref(), Some("CAP_BPF and CAP_PERFMON"));
    }

    #[test]
    fn capabilities_stand_in_the_status() {
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n").ok(), Some(0x1ff_ffff_ffff));
        assert!(effective("Name:\tx\n").is_err());
    }
}

//! Files under /etc and /proc go in, the identity of this host comes out.

use std::fs;

/// Which machine, and which boot of it. What a system does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// machine-id(5).
    pub id: Option<String>,
    /// /proc/sys/kernel/random/boot_id, random(4): the boot clock and every id of the kernel mean nothing beyond it.
    pub boot_id: Option<String>,
    /// /proc/sys/kernel/hostname, proc_sys_kernel(5): the name of the machine where the daemon runs, which in a container of
    /// its own is another than the host's.
    pub name: Option<String>,
    /// /proc/sys/kernel/osrelease, proc_sys_kernel(5): the release of the kernel.
    pub kernel: Option<String>,
}

impl Host {
    /// Reads all of it.
    #[must_use]
    pub fn read() -> Self {
        let text = |path| fs::read_to_string(path).ok();
        let id = |path| text(path).and_then(|text| identity(&text));
        Self {
            id: id("/etc/machine-id"),
            boot_id: id("/proc/sys/kernel/random/boot_id"),
            name: text("/proc/sys/kernel/hostname").and_then(|text| word(&text)),
            kernel: text("/proc/sys/kernel/osrelease").and_then(|text| word(&text)),
        }
    }
}

/// What `text` says; the kernel's name for a machine that nobody has named is `(none)`.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "(none)").then(|| text.to_owned())
}

/// The hexadecimal id that `text` holds; machine-id may also be empty or say `uninitialized`.
fn identity(text: &str) -> Option<String> {
    let text = text.trim();
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (hex && (32..=36).contains(&text.len())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_is_an_id() {
        assert_eq!(identity("0123456789abcdef0123456789abcdef\n").as_deref(), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(identity("uninitialized\n"), None);
        assert_eq!(identity(""), None);
    }

    #[test]
    fn no_name_is_no_name() {
        assert_eq!(word("db01\n").as_deref(), Some("db01"));
        assert_eq!(word("(none)\n"), None);
        assert_eq!(word("\n"), None);
    }

    #[test]
    fn this_boot_has_an_id_and_a_kernel() {
        let host = Host::read();
        assert!(host.boot_id.is_some() && host.kernel.is_some(), "{host:?}");
    }
}

//! Files under /etc and /proc go in, the identity of this host comes out.

use std::fs;

/// Which machine, and which boot of it. What a system does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// machine-id(5).
    pub id: Option<String>,
    /// /proc/sys/kernel/random/boot_id, random(4): the boot clock and every id of the kernel mean nothing beyond it.
    pub boot_id: Option<String>,
}

impl Host {
    /// Reads both.
    #[must_use]
    pub fn read() -> Self {
        let line = |path| fs::read_to_string(path).ok().and_then(|text| identity(&text));
        Self { id: line("/etc/machine-id"), boot_id: line("/proc/sys/kernel/random/boot_id") }
    }
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
    fn this_boot_has_an_id() {
        assert!(Host::read().boot_id.is_some());
    }
}

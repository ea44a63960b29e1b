//! A set of capabilities goes in, the list of their names comes out.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// In the order of their bits, include/uapi/linux/capability.h.
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
];

/// A bit each; one without a name is shown as its number.
pub(super) struct Capabilities(pub(super) u64);

impl Capabilities {
    fn names(&self) -> impl Iterator<Item = Cow<'static, str>> {
        let set = self.0;
        (0..u64::BITS).filter(move |bit| set >> bit & 1 == 1).map(|bit| match NAMES.get(bit as usize) {
            Some(name) => Cow::Borrowed(*name),
            None => Cow::Owned(bit.to_string()),
        })
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as capability.h has them.
    #[test]
    fn every_bit_has_its_name() {
        let names = |set| Capabilities(set).names().collect::<Vec<_>>();
        assert_eq!(names(1 << 15 | 1 << 21), ["CAP_IPC_OWNER", "CAP_SYS_ADMIN"]);
        assert_eq!(names(1 << 38 | 1 << 39 | 1 << 40), ["CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"]);
        assert_eq!(names(1 | 1 << 41 | 1 << 63), ["CAP_CHOWN", "41", "63"]);
        assert_eq!(names(u64::MAX).len(), 64);
        assert!(names(0).is_empty());
    }
}

//! `msgflg`: a number goes in, names come out, and the names go back to the same number.

use std::fmt;

/// The second argument of `msgget`: flags and, in the low nine bits, the mode of a queue it creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MsgFlags(pub i32);

impl MsgFlags {
    /// Create the queue if the key has none. include/uapi/linux/ipc.h, as the two below.
    pub const IPC_CREAT: i32 = 0o1000;
    /// With `IPC_CREAT`: fail if the key has one. Without it the kernel ignores it.
    pub const IPC_EXCL: i32 = 0o2000;
    /// Means nothing to `msgget`; callers pass it all the same.
    pub const IPC_NOWAIT: i32 = 0o4000;
    /// The bits POSIX takes for the mode.
    pub const MODE: i32 = 0o777;

    const NAMED: [(i32, &'static str); 3] =
        [(Self::IPC_CREAT, "IPC_CREAT"), (Self::IPC_EXCL, "IPC_EXCL"), (Self::IPC_NOWAIT, "IPC_NOWAIT")];

    /// True when all of `bits` are set.
    #[must_use]
    pub const fn has(self, bits: i32) -> bool {
        self.0 & bits == bits
    }

    /// The bit that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<i32> {
        Self::NAMED.iter().find(|(_, known)| *known == name).map(|(bit, _)| *bit)
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter_map(move |(bit, name)| self.has(bit).then_some(name))
    }

    /// The set bits that are neither a named flag nor part of the mode. The kernel ignores them.
    #[must_use]
    pub const fn unknown(self) -> u32 {
        let known = Self::IPC_CREAT | Self::IPC_EXCL | Self::IPC_NOWAIT | Self::MODE;
        (self.0 & !known).cast_unsigned()
    }

    /// Permission bits a new queue would get; the umask plays no part (ipc/msg.c, `newque`).
    #[must_use]
    pub const fn mode(self) -> u16 {
        (self.0 & Self::MODE) as u16
    }
}

/// As one would write it in C: `IPC_CREAT|IPC_EXCL|0600`.
impl fmt::Display for MsgFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.names() {
            write!(f, "{name}|")?;
        }
        if self.unknown() != 0 {
            write!(f, "{:#x}|", self.unknown())?;
        }
        write!(f, "{:04o}", self.mode())
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> i32 {
        let mut bits = 0;
        let (flags, mode) = text.rsplit_once('|').unwrap_or(("", text));
        for part in flags.split('|').filter(|part| !part.is_empty()) {
            bits |= match MsgFlags::NAMED.iter().find(|(_, name)| *name == part) {
                Some((bit, _)) => *bit,
                None => u32::from_str_radix(part.strip_prefix("0x").unwrap(), 16).unwrap().cast_signed(),
            };
        }
        bits | i32::from_str_radix(mode, 8).unwrap()
    }

    #[test]
    fn reads_like_c() {
        assert_eq!(MsgFlags(0o3600).to_string(), "IPC_CREAT|IPC_EXCL|0600");
        assert_eq!(MsgFlags(0).to_string(), "0000");
        assert_eq!(MsgFlags(-1).to_string(), "IPC_CREAT|IPC_EXCL|IPC_NOWAIT|0xfffff000|0777");
    }

    proptest! {
        #[test]
        fn every_number_prints_reversibly(bits: i32) {
            prop_assert_eq!(parse(&MsgFlags(bits).to_string()), bits);
        }
    }
}

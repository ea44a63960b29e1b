//! Error numbers: a number goes in, its name comes out.

use std::fmt;

/// An errno of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// The caller may not do this.
    pub const EPERM: Self = Self(1);
    /// The caller may not use the queue of this key.
    pub const EACCES: Self = Self(13);
    /// The key has a queue and the caller asked for a new one.
    pub const EEXIST: Self = Self(17);
    /// The key has no queue and the caller did not ask for one.
    pub const ENOENT: Self = Self(2);
    /// There is no queue of this id; or an argument is of no use.
    pub const EINVAL: Self = Self(22);
    /// The queue was removed while the call waited for it.
    pub const EIDRM: Self = Self(43);
    /// The namespace holds as many queues as it may (`kernel.msgmni`).
    pub const ENOSPC: Self = Self(28);

    /// The errno in a system call's return value: -1 to -4095 (`MAX_ERRNO`, include/linux/err.h).
    #[must_use]
    pub fn from_result(result: i64) -> Option<Self> {
        (-4095..0).contains(&result).then(|| Self(result.unsigned_abs() as u16))
    }

    /// True where somebody was denied what he asked for: the permission was lacking, not the thing.
    #[must_use]
    pub const fn denies(self) -> bool {
        matches!(self, Self::EPERM | Self::EACCES)
    }

    /// The one that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (1..).zip(NAMES).find(|(_, known)| *known == name && !name.is_empty()).map(|(number, _)| Self(number))
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(|name| !name.is_empty())
    }

    /// Its name, as include/uapi/asm-generic/errno.h has it; `None` for what stands only inside the kernel or nowhere.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let index = usize::from(self.0).checked_sub(1)?;
        NAMES.get(index).copied().filter(|name| !name.is_empty())
    }
}

/// The name, or the bare number.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// From 1 upwards; 41 and 58 were never given out.
#[rustfmt::skip]
const NAMES: [&str; 133] = [
    "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD", "EAGAIN", "ENOMEM",
    "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE",
    "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE",
    "EDEADLK", "ENAMETOOLONG", "ENOLCK", "ENOSYS", "ENOTEMPTY", "ELOOP", "", "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC",
    "EL3HLT", "EL3RST", "ELNRNG", "EUNATCH", "ENOCSI", "EL2HLT", "EBADE", "EBADR", "EXFULL", "ENOANO", "EBADRQC",
    "EBADSLT", "", "EBFONT", "ENOSTR", "ENODATA", "ETIME", "ENOSR", "ENONET", "ENOPKG", "EREMOTE", "ENOLINK", "EADV",
    "ESRMNT", "ECOMM", "EPROTO", "EMULTIHOP", "EDOTDOT", "EBADMSG", "EOVERFLOW", "ENOTUNIQ", "EBADFD", "EREMCHG",
    "ELIBACC", "ELIBBAD", "ELIBSCN", "ELIBMAX", "ELIBEXEC", "EILSEQ", "ERESTART", "ESTRPIPE", "EUSERS", "ENOTSOCK",
    "EDESTADDRREQ", "EMSGSIZE", "EPROTOTYPE", "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP",
    "EPFNOSUPPORT", "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH", "ENETRESET",
    "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN", "ENOTCONN", "ESHUTDOWN", "ETOOMANYREFS", "ETIMEDOUT",
    "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "EINPROGRESS", "ESTALE", "EUCLEAN", "ENOTNAM", "ENAVAIL",
    "EISNAM", "EREMOTEIO", "EDQUOT", "ENOMEDIUM", "EMEDIUMTYPE", "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED",
    "EKEYREJECTED", "EOWNERDEAD", "ENOTRECOVERABLE", "ERFKILL", "EHWPOISON",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_c_library() {
        for (number, name) in [
            (libc::EACCES, "EACCES"),
            (libc::EEXIST, "EEXIST"),
            (libc::ENOENT, "ENOENT"),
            (libc::ENOSPC, "ENOSPC"),
            (libc::ENOMEM, "ENOMEM"),
            (libc::ENOSYS, "ENOSYS"),
            (libc::EIDRM, "EIDRM"),
            (libc::ESTALE, "ESTALE"),
            (libc::EHWPOISON, "EHWPOISON"),
        ] {
            assert_eq!(Errno::from_result(-i64::from(number)).and_then(Errno::name), Some(name));
        }
    }

    #[test]
    fn only_errnos_are_errnos() {
        assert_eq!(Errno::from_result(0), None);
        assert_eq!(Errno::from_result(32_768), None);
        assert_eq!(Errno::from_result(-4096), None);
        assert_eq!(Errno::from_result(-512).map(|errno| errno.to_string()).as_deref(), Some("512"));
        assert_eq!(Errno(41).name(), None);
        assert_eq!(Errno(0).name(), None);
    }
}

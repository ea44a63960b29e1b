//! The [`Context`] record: which program a process runs goes in on the kernel's side, once per image, and comes out in front
//! of the first call that image makes.

use core::mem::{offset_of, size_of};

use crate::{ABI_VERSION, Header};

/// `Header::kind` of a [`Context`].
pub const KIND_CONTEXT: u16 = 2;

/// Room for a path: three names of full length, or the many short ones of real paths.
pub const PATH_LEN: usize = 1024;

/// Room for the command line.
pub const ARGUMENTS_LEN: usize = 1024;

/// Images that the kernel side remembers having announced. User space must remember more, or it would forget what it is
/// not told again.
pub const IMAGES: u32 = 1 << 13;

/// [`Context::path_flags`], [`Context::arguments_flags`]: there was more than stands here.
pub const CUT: u32 = 1;
/// The same: it was not read, or could not be.
pub const UNREAD: u32 = 2;

/// The program that a process runs: of the caller, or of its parent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Version, kind and size.
    pub header: Header,
    /// When the process was started, as [`Call::process_start_ns`](crate::Call::process_start_ns).
    pub process_start_ns: u64,
    /// Which of its programs, as [`Call::exec_id`](crate::Call::exec_id).
    pub exec_id: u64,
    /// Inode number of the executable.
    pub inode: u64,
    /// Its device as the kernel writes it: the major number above 20 bits of the minor.
    pub device: u32,
    /// Process id on the host.
    pub pid: u32,
    /// Bytes of `path` that hold something.
    pub path_len: u32,
    /// 0, [`CUT`] (the beginning is missing) or [`UNREAD`].
    pub path_flags: u32,
    /// Bytes of `arguments` that hold something.
    pub arguments_len: u32,
    /// 0, [`CUT`] or [`UNREAD`].
    pub arguments_flags: u32,
    /// Names from the executable up to the root of its mount namespace, each with a NUL behind it.
    pub path: [u8; PATH_LEN],
    /// The memory that holds the command line, as the process itself shows it in /proc: bytes, NULs between them.
    pub arguments: [u8; ARGUMENTS_LEN],
}

const _: () = assert!(size_of::<Context>() == 2104);
const _: () = assert!(offset_of!(Context, device) == 32);
const _: () = assert!(offset_of!(Context, path) == 56);
const _: () = assert!(offset_of!(Context, arguments) == 1080);

impl Context {
    /// The header a context record carries.
    pub const HEADER: Header = Header { version: ABI_VERSION, kind: KIND_CONTEXT, size: size_of::<Self>() as u32 };

    /// Copies a record out of the ring. `None` unless `bytes` is exactly one record long; the content is not judged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, the read needs no alignment, and every bit pattern is a valid `Context` because it
        // consists of integers only.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    /// The record as the ring holds it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `Context` is `repr(C)`, made of integers, and the asserts above leave no room for padding.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

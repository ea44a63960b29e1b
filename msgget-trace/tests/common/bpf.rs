//! Pinned maps as somebody else sees them: what a test does to them behind the daemon's back.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const OBJ_GET: i32 = 7;

/// The parts of `union bpf_attr` that these commands use.
#[repr(C)]
struct Attributes {
    /// Descriptor of the map, or address of a path.
    what: u64,
    key: u64,
    value: u64,
    flags: u64,
}

fn bpf(command: i32, attributes: &Attributes) -> i64 {
    // SAFETY: every caller fills in what the command reads, and points to memory that lives.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<Attributes>()) };
    assert!(result >= 0, "bpf command {command}: {}", io::Error::last_os_error());
    result
}

fn open(path: &Path) -> OwnedFd {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let map = bpf(OBJ_GET, &Attributes { what: path.as_ptr() as u64, key: 0, value: 0, flags: 0 });
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(map as i32) }
}

/// Changes the only element of the array map that is pinned at `path`.
pub(crate) fn change_element(path: &Path, change: impl FnOnce(&mut [u8])) {
    let map = open(path);
    let (key, mut value) = (0_u32, vec![0_u8; 1 << 16]);
    let (what, pointer) = (map.as_raw_fd() as u64, value.as_mut_ptr() as u64);
    let element = Attributes { what, key: ptr::from_ref(&key) as u64, value: pointer, flags: 0 };
    bpf(LOOKUP, &element);
    change(&mut value);
    bpf(UPDATE, &element);
}

/// Moves the consumer position of the ring that is pinned at `path` on, as a reader does.
pub(crate) fn advance_ring(path: &Path, by: u64) {
    let map = open(path);
    // SAFETY: a new mapping of the page of the consumer position, which is its first word and accessed atomically.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(ptr::null_mut(), 4096, access, libc::MAP_SHARED, map.as_raw_fd(), 0);
        assert_ne!(page, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        AtomicU64::from_ptr(page.cast()).fetch_add(by, Ordering::SeqCst);
        libc::munmap(page, 4096);
    }
}

//! The state that programs share with whichever daemon reads their ring: its map goes in, loads and stores come out.

use std::{
    io,
    os::fd::BorrowedFd,
    sync::atomic::{Ordering, fence},
};

use msgget_trace_ebpf::{ABI_VERSION, Mark, Reader, State};

use super::mapping::Mapping;

/// The mapped state. Only we write it; the kernel program reads who we are.
#[derive(Debug)]
pub struct Shared {
    mapping: Mapping,
    /// Which mark is written next.
    next: usize,
}

impl Shared {
    /// Maps the map of the state.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(super) fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        Ok(Self { mapping: Mapping::new(map, 0, size_of::<State>(), access)?, next: 0 })
    }

    /// All of it.
    #[must_use]
    pub fn read(&self) -> State {
        // SAFETY: mapped as long as `self`, page-aligned, integers only; nobody writes but us.
        unsafe { self.state().read_volatile() }
    }

    /// Writes all of it, the version last.
    pub fn write(&mut self, state: State) {
        // SAFETY: as in `read`.
        unsafe { self.state().write_volatile(State { version: 0, ..state }) };
        fence(Ordering::Release);
        // SAFETY: as above.
        unsafe { (&raw mut (*self.state()).version).write_volatile(ABI_VERSION.into()) };
    }

    /// Says who reads from now on.
    pub fn set_reader(&mut self, reader: Reader) {
        // SAFETY: as in `read`.
        unsafe { (&raw mut (*self.state()).reader).write_volatile(reader) };
    }

    /// Which scopes are in force; 0: none.
    #[must_use]
    pub fn scopes(&self) -> u32 {
        self.read().scopes
    }

    /// Puts these into force.
    pub fn set_scopes(&mut self, scopes: u32) {
        fence(Ordering::Release);
        // SAFETY: as in `read`.
        unsafe { (&raw mut (*self.state()).scopes).write_volatile(scopes) };
    }

    /// Says when the hooks were attached.
    pub fn set_attached(&mut self, attached_ns: u64) {
        // SAFETY: as in `read`.
        unsafe { (&raw mut (*self.state()).attached_ns).write_volatile(attached_ns) };
    }

    /// Says which times the ring tells of.
    pub fn set_span(&mut self, from_ns: u64, until_ns: u64) {
        // SAFETY: as in `read`.
        unsafe {
            (&raw mut (*self.state()).from_ns).write_volatile(from_ns);
            (&raw mut (*self.state()).until_ns).write_volatile(until_ns);
        }
    }

    /// Keeps `mark`, to be followed by the ring's own position. The one before stays, for a daemon that dies in between.
    pub fn mark(&mut self, mark: Mark) {
        // SAFETY: as in `read`; `next` is 0 or 1.
        let place = unsafe { &raw mut (*self.state()).marks[self.next] };
        self.next = 1 - self.next;
        // Half written, it fits no position.
        // SAFETY: as above.
        unsafe {
            (&raw mut (*place).position).write_volatile(u64::MAX);
            fence(Ordering::Release);
            place.write_volatile(Mark { position: u64::MAX, ..mark });
            fence(Ordering::Release);
            (&raw mut (*place).position).write_volatile(mark.position);
        }
        fence(Ordering::Release);
    }

    /// The mark that belongs to this position of the ring, kept from being overwritten by the next.
    pub fn marked(&mut self, position: u64) -> Option<Mark> {
        let marks = self.read().marks;
        let fitting = (0..2).filter(|nth| marks[*nth].position == position);
        let valid = fitting.max_by_key(|nth| marks[*nth].at_ns)?;
        self.next = 1 - valid;
        Some(marks[valid])
    }

    const fn state(&self) -> *mut State {
        self.mapping.start().cast()
    }
}

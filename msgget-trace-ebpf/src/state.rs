//! What outlives the daemon while its programs stay in the kernel: who the daemon is goes in, for the programs to know; how
//! far it came is kept for the next one.
//!
//! One element of a map that user space maps into its memory. A daemon may be killed between any two stores to it.

use core::mem::size_of;

use crate::Counters;

/// See the [module](self).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// [`ABI_VERSION`](crate::ABI_VERSION) of whoever wrote it; 0 until all else is written.
    pub version: u32,
    /// Which hooks, in the words of user space.
    pub rung: u32,
    /// Identity of the ring.
    pub ring: [u8; 16],
    /// Digest of the programs and of everything they were told when they were loaded.
    pub settings: [u8; 16],
    /// Bytes of the ring.
    pub ring_bytes: u32,
    /// Which [`Scopes`](crate::Scopes) are in force, by their number; 0: none, all calls are sent. A single word, so that
    /// programs see the old or the new.
    pub scopes: u32,
    /// The daemon that reads the ring.
    pub reader: Reader,
    /// When the hooks were attached; boot clock, ns, as all times here.
    pub attached_ns: u64,
    /// The ring tells of the events that returned at this time or later; `u64::MAX` until it is trusted.
    pub from_ns: u64,
    /// And before this time: `u64::MAX` unless another ring has taken over.
    pub until_ns: u64,
    /// How far the daemon came. The one whose position is the ring's own is valid: it is written first.
    pub marks: [Mark; 2],
}

/// The daemon, as the kernel program tells it from others.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// Its process id in its own pid namespace.
    pub pid: u32,
    /// Inode number of that namespace.
    pub pid_ns: u32,
    /// Key of its canaries, as the unsigned number of the same bits.
    pub canary_key: u32,
    /// Raised with every daemon that comes: it knows none of the images that the ones before were told of.
    pub generation: u32,
}

/// Up to where records have been dealt with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Position in the ring.
    pub position: u64,
    /// When.
    pub at_ns: u64,
    /// What of the kernel's counters is accounted for: in lines, or said to be lost.
    pub counters: Counters,
    /// Skipped runs of the program that makes the records of calls, and of the others, that have been said.
    pub skipped: [u64; 2],
}

const _: () = assert!(size_of::<State>() == 88 + 2 * size_of::<Mark>());

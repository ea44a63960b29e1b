//! Scopes: what policies ask of a caller goes in, in a form in which the kernel program can tell at once that none of them wants his
//! calls.
//!
//! Policies are bits of a word. For each kind of fact there is a table of values and, for all others, one word; a caller's facts
//! are looked up one after the other, and what is left of the word are the policies that may want his calls.

use core::mem::{offset_of, size_of};

/// [`ScopeKey::field`]: real user id.
pub const SCOPE_UID: u32 = 0;
/// Effective user id.
pub const SCOPE_EUID: u32 = 1;
/// Real group id.
pub const SCOPE_GID: u32 = 2;
/// Process id on the host.
pub const SCOPE_PID: u32 = 3;
/// Mount namespace.
pub const SCOPE_MNT_NS: u32 = 4;
/// Pid namespace.
pub const SCOPE_PID_NS: u32 = 5;
/// IPC namespace.
pub const SCOPE_IPC_NS: u32 = 6;
/// Command name, its bytes before the NUL, then zeros.
pub const SCOPE_COMM: u32 = 7;
/// How many kinds of fact there are.
pub const SCOPE_FIELDS: usize = 8;
/// [`ScopeKey::field`] of a cgroup v2 id, whose table is learned from the calls themselves: which container it is of, user space
/// knows.
pub const SCOPE_CGROUP: u32 = 8;

/// Values that policies may ask about.
pub const SCOPE_VALUES: u32 = 1 << 12;

/// cgroups that are remembered.
pub const SCOPE_CGROUPS: u32 = 1 << 13;

/// What is said of all values that are not listed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Policies that want calls of anybody.
    pub policies: u64,
    /// Bit `n` is set if a policy asks for facts of kind `n`.
    pub asked: u64,
    /// By kind, the policies that are content with a value that is not listed.
    pub otherwise: [u64; SCOPE_FIELDS],
}

/// A value that is listed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeKey {
    /// [`State::scopes`](crate::State::scopes) when it was: while policies change, both the old and the new are there.
    pub generation: u32,
    /// The kind of fact.
    pub field: u32,
    /// A number and 0, or a command name.
    pub value: [u64; 2],
}

impl ScopeKey {
    /// Without what follows its NUL, where the kernel may have left anything.
    #[must_use]
    #[inline(always)]
    pub const fn comm([low, high]: [u64; 2]) -> [u64; 2] {
        let low_kept = before_nul(low);
        [low_kept, if has_nul(low) { 0 } else { before_nul(high) }]
    }
}

const LOWEST: u64 = 0x0101_0101_0101_0101;

/// The high bit of every byte that is 0, and perhaps of some above the first of these.
#[inline(always)]
const fn nul_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOWEST) & !word & (LOWEST << 7)
}

#[inline(always)]
const fn has_nul(word: u64) -> bool {
    nul_bytes(word) != 0
}

/// The bytes of a little-endian word before its first 0.
#[inline(always)]
const fn before_nul(word: u64) -> u64 {
    let nul = nul_bytes(word);
    if nul == 0 {
        return word;
    }
    // All bits below the first of these bytes.
    let first = nul & nul.wrapping_neg();
    word & ((first >> 7).wrapping_sub(1))
}

const _: () = assert!(size_of::<Scopes>() == 80);
const _: () = assert!(size_of::<ScopeKey>() == 24);
const _: () = assert!(offset_of!(Scopes, otherwise) == 16);
const _: () = assert!(before_nul(u64::from_le_bytes(*b"ab\0cd\0ef")) == u64::from_le_bytes(*b"ab\0\0\0\0\0\0"));
const _: () = assert!(before_nul(u64::from_le_bytes(*b"abcdefgh")) == u64::from_le_bytes(*b"abcdefgh"));
const _: () = assert!(before_nul(u64::from_le_bytes(*b"\0bcdefgh")) == 0);
const _: () =
    assert!(before_nul(u64::from_le_bytes(*b"a\x01\0\x80efg\x01")) == u64::from_le_bytes(*b"a\x01\0\0\0\0\0\0"));

//! Entity ids: a process or thread id and its start go in, an identity comes out that joins events of one process across
//! id reuse.
//!
//! Tracee's is a number: Murmur3-32 over the big-endian id and start time, rounded down to 100 ms (Tracee v0.24.1, `HashTaskID`).

use std::fmt::{self, Display};

use crate::{enrich::Host, event::BootTime};

const SEED: u32 = 0x1827_3645;
const GRAIN: u64 = 100_000_000;

/// The entity id of the task `id` (initial pid namespace) that was started at `start` (ns since the epoch).
#[must_use]
pub fn entity_id(id: u32, start: u64) -> u32 {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    bytes[4..].copy_from_slice(&(start / GRAIN * GRAIN).to_be_bytes());
    murmur3(&bytes, SEED)
}

/// The identity of a process among those of all machines, where [`entity_id`] is too short to be one: boot, process id and
/// start (ns on the clock of that boot).
pub(super) struct ProcessUid<'a> {
    boot: &'a str,
    pid: u32,
    started: BootTime,
}

impl<'a> ProcessUid<'a> {
    /// Of process `pid` (initial pid namespace), started at `started`; `None` where any of it is not known.
    pub(super) fn new(host: &'a Host, pid: u32, started: Option<BootTime>) -> Option<Self> {
        Some(Self { boot: host.boot_id.as_deref()?, pid, started: started? })
    }
}

impl Display for ProcessUid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.boot)?;
        f.write_str("-")?;
        f.write_str(itoa::Buffer::new().format(self.pid))?;
        f.write_str("-")?;
        f.write_str(itoa::Buffer::new().format(self.started.0))
    }
}

/// MurmurHash3_x86_32 by Austin Appleby, who put it in the public domain.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(seed, |hash, word| {
        (hash ^ scramble(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let rest = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    hash ^= scramble(rest);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors from Tracee's own implementation.
    #[test]
    fn agrees_with_tracee() {
        assert_eq!(murmur3(b"", SEED), 0xac1e_97d9);
        assert_eq!(murmur3(b"hello", SEED), 0x6fcf_e226);
        assert_eq!(murmur3(&[0; 12], SEED), 0xf6c5_6b4a);
        assert_eq!(entity_id(41_237, 1_785_589_052_310_412_887), 906_662_700);
    }

    #[test]
    fn a_process_is_named_only_in_full() {
        let host = Host { boot_id: Some("b".into()), ..Host::default() };
        let named = ProcessUid::new(&host, 5, Some(BootTime(7))).map(|uid| uid.to_string());
        assert_eq!(named.as_deref(), Some("b-5-7"));
        assert!(ProcessUid::new(&host, 5, None).is_none());
        assert!(ProcessUid::new(&Host::default(), 5, Some(BootTime(7))).is_none());
    }

    #[test]
    fn rounds_start_times_down() {
        assert_eq!(entity_id(1, 1_700_000_000), entity_id(1, 1_799_999_999));
        assert_ne!(entity_id(1, 1_700_000_000), entity_id(1, 1_800_000_000));
    }
}

//! Frames: a record, its number and its time go in, bytes for a segment come out; and back, or the word that no frame is there.
//!
//! Little-endian: magic (4 bytes), CRC32C of all that follows (4), length of the record (4), its number (8), when it was
//! appended in ns since 1970 (8), the record.

use std::ops::Range;

use super::RECORD_MAX;

/// Bytes of a frame before its record.
pub(super) const HEAD: usize = 28;

/// No UTF-8 text has the byte 0xff, so a search for the next frame does not stop inside a record that is text.
pub(super) const MAGIC: [u8; 4] = [0xff, b'r', b'e', b'c'];

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole frame.
    Frame(Frame),
    /// Perhaps a frame; this many bytes are needed to tell.
    Short(usize),
    /// No frame.
    Bad,
}

/// A frame that is whole and right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The record's number.
    pub(super) number: u64,
    /// When it was appended, ns since 1970.
    pub(super) time: u64,
    /// Bytes with the head.
    pub(super) len: usize,
}

/// Adds a frame to `out`. The record is at most [`RECORD_MAX`] long.
pub(super) fn encode(out: &mut Vec<u8>, number: u64, time: u64, record: &[u8]) {
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let checked: [&[u8]; 4] = [&len.to_le_bytes(), &number.to_le_bytes(), &time.to_le_bytes(), record];
    let crc = checked.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&crc.to_le_bytes());
    for part in checked {
        out.extend_from_slice(part);
    }
}

/// What `bytes` begin with. A frame with a number outside `numbers` is none.
pub(super) fn parse(bytes: &[u8], numbers: &Range<u64>) -> Parsed {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else {
        return if MAGIC.starts_with(bytes) || bytes.starts_with(&MAGIC) { Parsed::Short(HEAD) } else { Parsed::Bad };
    };
    let mut rest = &head[..];
    let (Some(magic), Some(crc), Some(record), Some(number), Some(time)) =
        (take(&mut rest), take(&mut rest), take(&mut rest), take(&mut rest), take(&mut rest))
    else {
        return Parsed::Bad;
    };
    let (crc, record, number) =
        (u32::from_le_bytes(crc), u32::from_le_bytes(record) as usize, u64::from_le_bytes(number));
    if magic != MAGIC || record > RECORD_MAX || !numbers.contains(&number) {
        return Parsed::Bad;
    }
    let len = HEAD + record;
    match bytes.get(MAGIC.len() + size_of_val(&crc)..len) {
        None => Parsed::Short(len),
        Some(checked) if crc32c::crc32c(checked) == crc => {
            Parsed::Frame(Frame { number, time: u64::from_le_bytes(time), len })
        }
        Some(_) => Parsed::Bad,
    }
}

/// Takes the first `N` bytes off.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crc_is_castagnolis() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_no_flipped_bit_passes(
            number: u64, time: u64, record in prop::collection::vec(any::<u8>(), 0..99), bit: prop::sample::Index,
        ) {
            prop_assume!(number < u64::MAX);
            let mut bytes = Vec::new();
            encode(&mut bytes, number, time, &record);
            let len = bytes.len();
            bytes.extend_from_slice(b"more");
            prop_assert_eq!(parse(&bytes, &(0..u64::MAX)), Parsed::Frame(Frame { number, time, len }));
            prop_assert_eq!(&bytes[HEAD..len], &record[..]);
            prop_assert_eq!(parse(&bytes, &(number + 1..u64::MAX)), Parsed::Bad);
            for short in 0..len {
                let parsed = parse(&bytes[..short], &(0..u64::MAX));
                prop_assert!(matches!(parsed, Parsed::Short(need) if need > short && need <= len));
            }
            let bit = bit.index(len * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(parse(&bytes, &(0..u64::MAX)), Parsed::Frame(_)));
        }

        #[test]
        fn any_bytes_ask_for_a_bounded_number_of_more(bytes: Vec<u8>) {
            let bytes = [&MAGIC[..], &bytes].concat();
            if let Parsed::Short(need) = parse(&bytes, &(0..u64::MAX)) {
                prop_assert!(need > bytes.len() && need <= HEAD + RECORD_MAX);
            }
        }
    }
}

//! What a `msgsnd` or `msgrcv` was about: size and type go in, the words of a record that nothing else of such a call needs
//! come out, and the other way round.

use crate::Position;

/// What of a message a use of a queue asked for. It stands in [`Call::before`](crate::Call::before), for such a call allocates
/// no ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `size_t msgsz`, in bytes, as the kernel took it: a negative one of a 32-bit caller is extended.
    pub size: u64,
    /// `long msgtyp` of a `msgrcv`; 0 of a `msgsnd`, and where the caller keeps it in memory (`ipc(2)` of version 0).
    pub r#type: i64,
}

impl From<Message> for Position {
    #[inline(always)]
    fn from(Message { size, r#type }: Message) -> Self {
        let (size, r#type) = (halves(size), halves(r#type.cast_unsigned()));
        Self { seq: size[0], last_idx: size[1].cast_signed(), valid: r#type[0], reserved: r#type[1] }
    }
}

impl From<Position> for Message {
    fn from(Position { seq, last_idx, valid, reserved }: Position) -> Self {
        let word = |[low, high]: [u32; 2]| u64::from(low) | u64::from(high) << 32;
        Self { size: word([seq, last_idx.cast_unsigned()]), r#type: word([valid, reserved]).cast_signed() }
    }
}

#[inline(always)]
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

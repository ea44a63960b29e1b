//! Questions and answers go in as values and come out as the bytes of one packet, and back. Both ends are one program,
//! so numbers have this machine's byte order; yet whatever the bytes are, reading them cannot fail worse than with
//! `None`.

use super::question::{Page, Question, Queue, Reply};
use crate::event::{BootTime, Errno};

/// Bytes of a question.
pub(super) const ASKED: usize = 24;
/// Room for the longest answer, a full page.
pub(super) const ANSWERED_MAX: usize = 4096;

/// Stands for a page without a successor; an index has 24 bits at most.
const NO_NEXT: u32 = u32::MAX;

/// A question on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Which one: 1, 2, 3, and so on.
    pub(super) seq: u64,
    pub(super) pid: u32,
    pub(super) ipc_ns: u32,
    pub(super) question: Question,
}

/// An answer on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The question's.
    pub(super) seq: u64,
    /// When the kernel had been asked.
    pub(super) at: BootTime,
    pub(super) reply: Reply,
}

impl Asked {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, argument) = match self.question {
            Question::Stat(id) => (0_u32, id.cast_unsigned()),
            Question::ListNamespace(from) => (1, from),
            Question::Remember => (2, 0),
        };
        let mut bytes = Vec::with_capacity(ASKED);
        self.seq.put(&mut bytes);
        for number in [self.pid, self.ipc_ns, kind, argument] {
            number.put(&mut bytes);
        }
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let (seq, pid, ipc_ns) = (Wire::take(from)?, Wire::take(from)?, Wire::take(from)?);
        let question = match (u32::take(from)?, u32::take(from)?) {
            (0, id) => Question::Stat(id.cast_signed()),
            (1, index) => Question::ListNamespace(index),
            (2, 0) => Question::Remember,
            _ => return None,
        };
        from.is_empty().then_some(Self { seq, pid, ipc_ns, question })
    }
}

impl Answered {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, detail, queues) = match &self.reply {
            Reply::Queue(queue) => (0_u32, 0, std::slice::from_ref(queue)),
            Reply::Page(page) => (1, page.next.unwrap_or(NO_NEXT), page.queues.as_slice()),
            Reply::Remembered => (2, 0, [].as_slice()),
            Reply::Gone => (3, 0, [].as_slice()),
            Reply::Denied(errno) => (4, u32::from(errno.0), [].as_slice()),
            Reply::Busy => (5, 0, [].as_slice()),
        };
        let mut bytes = Vec::with_capacity(128);
        (self.seq, self.at.0).put(&mut bytes);
        (kind, detail).put(&mut bytes);
        queues.iter().for_each(|queue| queue.put(&mut bytes));
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let (seq, at) = Wire::take(from)?;
        let reply = match Wire::take(from)? {
            (0_u32, 0) => Reply::Queue(Wire::take(from)?),
            (1, next) => {
                let mut page = Page { queues: Vec::new(), next: (next != NO_NEXT).then_some(next) };
                while !from.is_empty() {
                    page.queues.push(Wire::take(from)?);
                }
                Reply::Page(page)
            }
            (2, 0) => Reply::Remembered,
            (3, 0) => Reply::Gone,
            (4, errno) => Reply::Denied(Errno(u16::try_from(errno).ok()?)),
            (5, 0) => Reply::Busy,
            _ => return None,
        };
        from.is_empty().then_some(Self { seq, at: BootTime(at), reply })
    }
}

/// What has a form in bytes.
trait Wire: Sized {
    fn put(&self, to: &mut Vec<u8>);

    /// Takes it off the front.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty)*) => {$(
        impl Wire for $number {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend(self.to_ne_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_ne_bytes(*bytes))
            }
        }
    )*};
}

number!(u16 u32 u64 i32 i64);

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

/// One list of the members, so that they are written and read in one order; a member left out does not compile.
macro_rules! members {
    ($type:ident: $($member:ident)*) => {
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$member.put(to);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($member: Wire::take(from)?),* })
            }
        }
    };
}

members!(Queue: id key uid gid cuid cgid mode qnum cbytes qbytes lspid lrpid stime rtime ctime);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::queue::PAGE;

    const QUEUE: Queue = Queue {
        id: i32::MAX,
        key: -2,
        uid: 3,
        gid: 4,
        cuid: 5,
        cgid: u32::MAX,
        mode: 0o640,
        qnum: 6,
        cbytes: 7,
        qbytes: u64::MAX,
        lspid: 8,
        lrpid: 9,
        stime: 10,
        rtime: 11,
        ctime: i64::MIN,
    };

    fn questions() -> Vec<Asked> {
        [Question::Stat(-1), Question::Stat(i32::MAX), Question::ListNamespace(7), Question::Remember]
            .map(|question| Asked { seq: u64::MAX - 1, pid: 2, ipc_ns: u32::MAX, question })
            .to_vec()
    }

    fn answers() -> Vec<Answered> {
        let page = |n, next| Reply::Page(Page { queues: vec![QUEUE; n], next });
        [
            Reply::Queue(QUEUE),
            page(0, None),
            page(PAGE, Some(0)),
            Reply::Remembered,
            Reply::Gone,
            Reply::Denied(Errno::EACCES),
            Reply::Busy,
        ]
        .map(|reply| Answered { seq: 1, at: BootTime(u64::MAX), reply })
        .to_vec()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for asked in questions() {
            let bytes = asked.encode();
            assert_eq!((bytes.len(), Asked::decode(&bytes)), (ASKED, Some(asked)));
        }
        for answered in answers() {
            let bytes = answered.encode();
            assert!(bytes.len() <= ANSWERED_MAX, "{answered:?}");
            assert_eq!(Answered::decode(&bytes), Some(answered));
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let longer = |mut bytes: Vec<u8>| {
            bytes.push(0);
            bytes
        };
        for bytes in questions().iter().map(Asked::encode) {
            assert!((0..bytes.len()).all(|end| Asked::decode(&bytes[..end]).is_none()));
            assert_eq!(Asked::decode(&longer(bytes)), None);
        }
        for answered in answers() {
            let bytes = answered.encode();
            // A page cut between two queues is a shorter page.
            let refused = |end: &usize| Answered::decode(&bytes[..*end]).is_none();
            let accepted = (0..bytes.len()).filter(|end| !refused(end)).count();
            let queues = match &answered.reply {
                Reply::Page(page) => page.queues.len(),
                _ => 0,
            };
            assert_eq!(accepted, queues, "{answered:?}");
            assert_eq!(Answered::decode(&longer(bytes)), None);
        }
    }
}

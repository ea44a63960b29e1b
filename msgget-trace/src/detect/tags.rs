//! Tags: what a single call says about itself.

use crate::event::{Call, Control, IPC_PRIVATE, MsgFlags};

/// A word on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// A system call from user space, as Tracee's documentation tags msgget.
    User = 1,
    /// Prone to a time-of-check-to-time-of-use race.
    Toctou = 2,
    /// A queue without a key: whoever is to share it must be told its id.
    IpcPrivate = 4,
}

impl Tag {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Toctou, Self::IpcPrivate];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "U",
            Self::Toctou => "TOCTOU",
            Self::IpcPrivate => "IPC_PRIVATE",
        }
    }
}

/// A set of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(u8);

impl Tags {
    /// Adds `tag`.
    pub fn insert(&mut self, tag: Tag) {
        self.0 |= tag as u8;
    }

    /// True if `tag` is in it.
    #[must_use]
    pub const fn contains(self, tag: Tag) -> bool {
        self.0 & tag as u8 != 0
    }

    /// The words, always in the same order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Tag::ALL.into_iter().filter(move |tag| self.contains(*tag)).map(Tag::name)
    }
}

/// The tags `call` has by itself.
pub(super) fn of(call: &Call) -> Tags {
    let mut tags = Tags::default();
    tags.insert(Tag::User);
    if call.key == IPC_PRIVATE {
        tags.insert(Tag::IpcPrivate);
    } else if call.flags.has(MsgFlags::IPC_CREAT) && !call.flags.has(MsgFlags::IPC_EXCL) {
        // Whether the queue is new or a stranger's is decided between the caller's belief and the call.
        tags.insert(Tag::Toctou);
    }
    tags
}

/// The tags `control` has by itself.
pub(super) fn of_control(control: &Control) -> Tags {
    let mut tags = Tags::default();
    if !control.teardown() {
        tags.insert(Tag::User);
    }
    tags
}

//! Tags: what a call says about itself, and a word of every rule it completes.

use crate::event::{Call, Control, IPC_PRIVATE, MsgFlags, Use};

/// A word on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A system call from user space, as Tracee's documentation tags msgget.
    User,
    /// Prone to a time-of-check-to-time-of-use race.
    Toctou,
    /// A queue without a key: whoever is to share it must be told its id.
    IpcPrivate,
    /// Somebody else was in the window of a race.
    Raced,
    /// The queue is not of whom the caller may think.
    Squatted,
    /// Two programs use one key.
    KeyCollision,
    /// Others than owner and group may use the queue.
    WeakMode,
    /// One of many keys that were tried.
    KeyScan,
    /// The namespace has no room for queues, or soon will not.
    Exhaustion,
    /// One of many queues that only fill kernel memory.
    Spray,
    /// Creator and user live in different containers.
    SharedNamespace,
    /// The caller may do more than whoever started it.
    Privileged,
    /// Came in by a way that hides it from others.
    Evasion,
    /// An id that named another queue before.
    IdReuse,
    /// A queue was taken from under its users.
    UsedByOthers,
}

impl Tag {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::User,
        Self::Toctou,
        Self::IpcPrivate,
        Self::Raced,
        Self::Squatted,
        Self::KeyCollision,
        Self::WeakMode,
        Self::KeyScan,
        Self::Exhaustion,
        Self::Spray,
        Self::SharedNamespace,
        Self::Privileged,
        Self::Evasion,
        Self::IdReuse,
        Self::UsedByOthers,
    ];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "U",
            Self::Toctou => "TOCTOU",
            Self::IpcPrivate => "IPC_PRIVATE",
            Self::Raced => "RACED",
            Self::Squatted => "SQUATTED",
            Self::KeyCollision => "KEY_COLLISION",
            Self::WeakMode => "WEAK_MODE",
            Self::KeyScan => "KEY_SCAN",
            Self::Exhaustion => "EXHAUSTION",
            Self::Spray => "SPRAY",
            Self::SharedNamespace => "SHARED_NAMESPACE",
            Self::Privileged => "PRIVILEGED",
            Self::Evasion => "EVASION",
            Self::IdReuse => "ID_REUSE",
            Self::UsedByOthers => "USED_BY_OTHERS",
        }
    }
}

/// A set of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(u16);

impl Tags {
    /// Adds `tag`.
    pub fn insert(&mut self, tag: Tag) {
        self.0 |= 1 << tag as u16;
    }

    /// True if `tag` is in it.
    #[must_use]
    pub const fn contains(self, tag: Tag) -> bool {
        self.0 & (1 << tag as u16) != 0
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

/// The tags `used` has by itself.
pub(super) fn of_use(_: &Use) -> Tags {
    let mut tags = Tags::default();
    tags.insert(Tag::User);
    tags
}

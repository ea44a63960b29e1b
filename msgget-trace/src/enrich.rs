//! Enrich: what user space knows and the kernel's record does not say: which host this is, what its clock shows, where a
//! call was made and by whom.

pub mod cgroup;
mod clock;
pub mod container;
mod host;
mod images;
mod place;
pub mod redact;
mod users;

pub use clock::Clock;
pub use host::Host;
pub use images::Images;
pub use place::{Place, Places};
pub use users::Users;

use crate::event::Caller;

/// What is known about the maker of a call besides the record.
#[derive(Debug)]
pub struct Who<'a> {
    /// Cgroup and container.
    pub place: Place,
    /// Name of the real user.
    pub user: Option<&'a [u8]>,
    /// Name of the effective user.
    pub effective_user: Option<&'a [u8]>,
    /// Name of the real group.
    pub group: Option<&'a [u8]>,
    /// Name of the effective group.
    pub effective_group: Option<&'a [u8]>,
}

/// Everything that is asked about a call.
#[derive(Debug)]
pub struct Enricher {
    places: Places,
    users: Users,
}

impl Enricher {
    /// Nothing is known yet. `host_pids`: /proc shows the ids of the initial pid namespace.
    #[must_use]
    pub fn new(host_pids: bool) -> Self {
        Self { places: Places::new(host_pids), users: Users::new() }
    }

    /// Looks whether files have changed; to be called once a batch.
    pub fn refresh(&mut self) {
        self.users.refresh();
    }

    /// Path of a cgroup by its id.
    pub fn cgroup(&mut self, id: u64) -> cgroup::Answer {
        self.places.cgroup(id)
    }

    /// Name of a user by its id.
    pub fn user(&mut self, id: u32) -> Option<&[u8]> {
        self.users.user(id)
    }

    /// What else is known about `caller`.
    pub fn who(&mut self, caller: &Caller) -> Who<'_> {
        let place = self.places.of(caller);
        let user = |id: Option<u32>| id.and_then(|id| self.users.user(id));
        let group = |id: Option<u32>| id.and_then(|id| self.users.group(id));
        Who {
            place,
            user: user(caller.uid),
            effective_user: user(caller.euid),
            group: group(caller.gid),
            effective_group: group(caller.egid),
        }
    }
}

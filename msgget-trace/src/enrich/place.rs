//! A cgroup id and a process go in; where that is comes out: the cgroup's path, and the container it belongs to.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use super::{
    cgroup::{Absent, Answer, CgroupPath, Cgroups, memberships},
    container::Container,
};
use crate::event::{BootTime, Caller};

/// Places remembered at once, of cgroups and of processes each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Where a call was made.
#[derive(Clone, Debug)]
pub struct Place {
    /// Path of the cgroup in the version 2 hierarchy, or why there is none.
    pub cgroup: Result<CgroupPath, Absent>,
    /// The container, if the path, or on hosts with version 1 that of another hierarchy, is one's.
    pub container: Option<Arc<Container>>,
}

/// Finds places, and remembers them.
#[derive(Debug)]
pub struct Places {
    cgroups: Cgroups,
    /// By cgroup id; what is known of it never changes.
    containers: LruCache<u64, Option<Arc<Container>>>,
    /// By process, for those whose cgroup of version 2 says nothing.
    processes: LruCache<(u32, Option<BootTime>), Option<Arc<Container>>>,
    /// Whether /proc shows the host's process ids.
    host_pids: bool,
}

impl Places {
    /// Nothing is known yet. `host_pids`: /proc shows the ids of the initial pid namespace.
    #[must_use]
    pub fn new(host_pids: bool) -> Self {
        Self {
            cgroups: Cgroups::new(),
            containers: LruCache::new(REMEMBERED),
            processes: LruCache::new(REMEMBERED),
            host_pids,
        }
    }

    /// Path of a cgroup by its id.
    pub fn cgroup(&mut self, id: u64) -> Answer {
        self.cgroups.path(id)
    }

    /// Where `caller` made it.
    pub fn of(&mut self, caller: &Caller) -> Place {
        let cgroup = self.cgroups.path(caller.cgroup_id);
        let found = |path: &CgroupPath| Container::from_path(&path.bytes).map(Arc::new);
        let container = match &cgroup {
            Ok(path) => self.containers.get_or_insert(caller.cgroup_id, || found(path)).clone(),
            Err(_) => None,
        };
        // The root of version 2 is where everybody is on a host that still manages with version 1.
        let elsewhere = cgroup.as_ref().map_or(true, |path| &*path.bytes == b"/");
        let container = if container.is_none() && elsewhere { self.of_process(caller) } else { container };
        Place { cgroup, container }
    }

    /// The container by the hierarchies of version 1, if the process still lives.
    fn of_process(&mut self, caller: &Caller) -> Option<Arc<Container>> {
        if !self.host_pids {
            return None;
        }
        let find = || {
            let memberships = memberships(caller.host.pid).unwrap_or_default();
            memberships.iter().find_map(|member| Container::from_path(&member.path)).map(Arc::new)
        };
        self.processes.get_or_insert((caller.host.pid, caller.process_started), find).clone()
    }
}

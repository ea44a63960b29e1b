//! Calls that were counted instead of sent: an aggregate goes in, its numbers and whose they are come out.

use serde::Serialize;

use super::caller::CgroupFacts;
use crate::{
    encode::{Escaped, show::ByOutcome},
    enrich::cgroup,
    event::{Aggregate, Attributed, before_nul},
};

/// An aggregate; of one that nobody explains, only the numbers.
#[derive(Serialize)]
pub(super) struct AggregateFacts<'a> {
    attributed_to: &'static str,
    count: u64,
    by_outcome: ByOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_keys: Option<&'a [i32]>,
    /// Of an owner one of its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    process_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaces: Option<Namespaces>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<CgroupFacts<'a>>,
}

#[derive(Serialize)]
struct Namespaces {
    ipc: u32,
}

impl<'a> AggregateFacts<'a> {
    /// `place` is the path of its cgroup.
    pub(super) fn new(aggregate: &'a Aggregate, place: Option<&'a cgroup::Answer>) -> Self {
        let attributed: Option<&Attributed> = aggregate.attributed.as_ref();
        Self {
            attributed_to: attributed.map_or("nobody", |attributed| attributed.payer.name()),
            count: aggregate.counts.total(),
            by_outcome: ByOutcome(aggregate.counts),
            sample_keys: attributed.map(|attributed| &attributed.sample_keys[..]),
            process_name: attributed.map(|attributed| Escaped(before_nul(&attributed.comm))),
            namespaces: attributed.and_then(|attributed| attributed.ipc_ns).map(|ipc| Namespaces { ipc }),
            cgroup: attributed.map(|attributed| CgroupFacts::new(attributed.cgroup_id, place)),
        }
    }
}

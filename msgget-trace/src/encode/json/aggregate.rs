//! Aggregates: calls that were counted instead of sent go in, one object a line comes out, in the same sequence as the calls.

use schemars::JsonSchema;
use serde::Serialize;

use super::schema;
use crate::{
    encode::{Escaped, Sensor, show::ByOutcome},
    enrich::cgroup,
    event::{Aggregate, Attributed, BootTime, Payer, before_nul},
};

impl Sensor {
    /// What only an aggregate says; `place` is the path of its cgroup, `user` the name of its effective user.
    pub(super) fn counts<'a>(
        &self,
        aggregate: &'a Aggregate,
        place: Option<&'a cgroup::Answer>,
        user: Option<&'a [u8]>,
    ) -> Facts<'a> {
        let attributed = aggregate.attributed.as_ref();
        Facts {
            attributed_to: aggregate.payer(),
            count: aggregate.counts.total(),
            by_outcome: ByOutcome(aggregate.counts),
            caller: attributed.map(|attributed| self.caller(attributed, aggregate.at, place, user)),
        }
    }

    fn caller<'a>(
        &self,
        attributed: &'a Attributed,
        at: BootTime,
        place: Option<&'a cgroup::Answer>,
        user: Option<&'a [u8]>,
    ) -> Caller<'a> {
        let (pid, started) = match attributed.payer {
            Payer::Process { pid, started } => (Some(pid), started),
            Payer::Owner => (None, None),
        };
        let path = place.and_then(|place| place.as_ref().ok());
        Caller {
            first_timestamp: self.clock.wall(attributed.first),
            last_timestamp: self.clock.wall(attributed.last),
            sample_keys: &attributed.sample_keys,
            host_process_id: pid,
            process_start_time: started.map(|started| self.clock.wall(started)),
            process_name: Escaped(before_nul(&attributed.comm)),
            effective_user_id: attributed.euid,
            effective_user_name: user.map(Escaped),
            ipc_namespace: attributed.ipc_ns,
            cgroup_id: attributed.cgroup_id,
            cgroup_path: path.map(|path| Escaped(&path.bytes)),
            cgroup_path_cut: path.is_some_and(|path| !path.whole),
            cgroup_path_absent: place.and_then(|place| place.as_ref().err()).map(|absent| absent.name()),
            taken_timestamp: self.clock.wall(at),
        }
    }
}

/// An aggregate; of one that nobody explains, only the numbers.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts<'a> {
    /// Whose budget the calls were past.
    #[schemars(schema_with = "schema::payer")]
    attributed_to: &'static str,
    /// How many calls.
    count: u64,
    /// The outcomes there were, each with its number.
    by_outcome: ByOutcome,
    #[serde(flatten)]
    caller: Option<Caller<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Caller<'a> {
    /// Not before this moment did the first of them return, ns since 1970.
    first_timestamp: u64,
    /// When the last of them returned, ns since 1970.
    last_timestamp: u64,
    /// Different keys of calls in the last second or so of them.
    sample_keys: &'a [i32],
    /// Of a process only.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_process_id: Option<u32>,
    /// Of a process only; ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_time: Option<u64>,
    /// Command name of one of the callers.
    process_name: Escaped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_name: Option<Escaped<'a>>,
    /// Of one of the callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_namespace: Option<u32>,
    cgroup_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cgroup_path_cut: bool,
    /// Why there is no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path_absent: Option<&'static str>,
    /// When they were counted together, ns since 1970.
    taken_timestamp: u64,
}

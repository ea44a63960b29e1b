//! Policies go in; what the kernel program can be asked before it sends a call comes out: whose calls none of them can want.
//!
//! It is a sieve and not the judge: what it lets through is judged all the same, so it may let through too much. It must hold
//! back nothing that would be told. What others did is part of a finding, so a policy that wants findings, or has conditions on
//! tags, gives away only IPC namespaces, between which there is nothing to find.

use std::collections::BTreeMap;

use msgget_trace_ebpf::{
    COMM_LEN, SCOPE_COMM, SCOPE_EUID, SCOPE_GID, SCOPE_IPC_NS, SCOPE_MNT_NS, SCOPE_PID, SCOPE_PID_NS, SCOPE_UID,
    SCOPE_VALUES, Scopes,
};

use super::{
    Policies, Policy, Rule, events,
    field::{Fact, Field},
    filter::Group,
    value::{Op, Value},
};
use crate::enrich::{Place, cgroup::CgroupPath};

/// What the kernel program can ask.
#[derive(Clone, Debug, Default)]
pub struct Sieve {
    /// What is said of all values that are not listed.
    pub scopes: Scopes,
    /// By kind of fact and value, as the kernel program looks it up, the policies that are content with it.
    pub listed: BTreeMap<(u32, [u64; 2]), u64>,
    /// What policies, a bit each, ask about containers.
    contained: Vec<(u64, Vec<Group>)>,
}

impl Policies {
    /// What of them the kernel program can be asked. `None` if there are no policies, so that every call is wanted.
    #[must_use]
    pub fn sieve(&self) -> Option<Sieve> {
        if self.policies.is_empty() {
            return None;
        }
        let mut sieve = Sieve::default();
        let asks: Vec<_> = self.policies.iter().map(Policy::asks).collect();
        for (nth, policy) in self.policies.iter().enumerate() {
            sieve.scopes.policies |= u64::from(policy.wants_calls()) << nth;
        }
        for kind in [SCOPE_UID, SCOPE_EUID, SCOPE_GID, SCOPE_PID, SCOPE_MNT_NS, SCOPE_PID_NS, SCOPE_IPC_NS, SCOPE_COMM]
        {
            sieve.table(kind, &asks);
        }
        for (nth, groups) in asks.into_iter().enumerate() {
            let contained: Vec<_> =
                groups.into_iter().filter(|group| about_containers(&group.field)).cloned().collect();
            if !contained.is_empty() {
                sieve.contained.push((1 << nth, contained));
            }
        }
        Some(sieve)
    }
}

impl Policy {
    /// True if it can want a `msgget`, or a finding, which any of them may lead to.
    fn wants_calls(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.events).any(|event| *event == events::MSGGET || is_finding(event))
    }

    /// What it asks of every caller, as far as the kernel program may.
    fn asks(&self) -> Vec<&Group> {
        let depends = self.rules.iter().any(Rule::depends_on_others);
        let may = |group: &&Group| !depends || group.field == Field::IpcNs;
        self.scope.groups().iter().filter(may).collect()
    }
}

impl Rule {
    /// True if what it wants is decided by more than one process's calls.
    fn depends_on_others(&self) -> bool {
        self.events.iter().any(|event| is_finding(event)) || self.when.as_ref().is_some_and(|when| when.asks("tags"))
    }
}

fn is_finding(event: &str) -> bool {
    !events::CALLS.contains(&event)
}

fn about_containers(field: &Field) -> bool {
    matches!(field, Field::ContainerId | Field::Contained)
}

impl Sieve {
    /// Adds the table of one kind of fact, if all that policies ask about it can be listed, and fits.
    fn table(&mut self, kind: u32, asks: &[Vec<&Group>]) {
        let mut asked = Vec::new();
        for (nth, groups) in asks.iter().enumerate() {
            asked.extend(
                groups
                    .iter()
                    .filter(|group| kind_of(&group.field) == Some(kind) && listable(group))
                    .map(|group| (nth, *group)),
            );
        }
        if asked.is_empty() {
            return;
        }
        let values: BTreeMap<_, _> = asked.iter().flat_map(|(_, group)| group.values()).filter_map(listed).collect();
        if self.listed.len() + values.len() > SCOPE_VALUES as usize {
            return;
        }
        // Who asks nothing is content.
        let content = |holds: &dyn Fn(&Group) -> bool| {
            asked.iter().filter(|(_, group)| !holds(group)).fold(u64::MAX, |bits, (nth, _)| bits & !(1 << nth))
        };
        self.scopes.asked |= 1 << kind;
        if let Some(otherwise) = self.scopes.otherwise.get_mut(kind as usize) {
            // Another value than all of these is in no list, and so is only what it has to not be.
            *otherwise = content(&|group| !group.all.is_empty());
        }
        for (value, fact) in values {
            self.listed.insert((kind, value), content(&|group| group.holds_of(&fact)));
        }
    }

    /// The policies that may want calls from a cgroup which is there; `None` if that is not known, or all may.
    #[must_use]
    pub fn of_place(&self, place: &Place) -> Option<u64> {
        // At the root are also those whose containers only version 1 knows; and what is missing of a path may name one.
        let certain = |path: &CgroupPath| path.whole && &*path.bytes != b"/";
        let known = !self.contained.is_empty() && place.cgroup.as_ref().is_ok_and(certain);
        let container = place.container.as_deref();
        let holds = |group: &Group| group.field.of_container(container).is_none_or(|fact| group.holds_of(&fact));
        let not = self.contained.iter().filter(|(_, groups)| !groups.iter().all(holds));
        Some(not.fold(u64::MAX, |bits, (bit, _)| bits & !bit)).filter(|bits| known && *bits != u64::MAX)
    }
}

/// Which table a field is looked up in.
const fn kind_of(field: &Field) -> Option<u32> {
    Some(match field {
        Field::Uid => SCOPE_UID,
        Field::Euid => SCOPE_EUID,
        Field::Gid => SCOPE_GID,
        Field::HostPid => SCOPE_PID,
        Field::MntNs => SCOPE_MNT_NS,
        Field::PidNs => SCOPE_PID_NS,
        Field::IpcNs => SCOPE_IPC_NS,
        Field::Comm => SCOPE_COMM,
        _ => return None,
    })
}

/// True if all that it says is that the field is, or is not, one of some values.
fn listable(group: &Group) -> bool {
    let single = |value: &Value| match value {
        Value::Number(_) => true,
        Value::Text(pattern) => pattern.exact().is_some(),
    };
    group.mask.is_none() && group.all.iter().all(|(op, _)| *op == Op::IsNot) && group.values().all(single)
}

/// A value as the kernel program looks it up, and as a fact. `None` for a name that no task can have.
fn listed(value: &Value) -> Option<([u64; 2], Fact<'_>)> {
    match value {
        Value::Number(number) => Some(([u64::try_from(*number).ok()?, 0], Fact::Number(*number))),
        Value::Text(pattern) => {
            let name = pattern.exact()?;
            let mut comm = [0; COMM_LEN];
            comm[..COMM_LEN - 1].get_mut(..name.len())?.copy_from_slice(name);
            let (low, high) = comm.split_at(8);
            let word = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
            Some(([word(low)?, word(high)?], Fact::Text(name.into())))
        }
    }
}

//! Names of events go in, which of ours they select comes out; or that Tracee has such an event and we do not see it.

use super::problem::quoted;
use crate::detect;

/// The events of Tracee v0.24.1 and of its later detectors, but ours: a policy that was written for Tracee may name them.
static TRACEE: &str = include_str!("tracee_events.txt");

/// Tracee's sets that ours are in.
const OUR_SETS: [&str; 3] = ["syscalls", "ipc", "ipc_msgq"];

/// Tracee's set of findings.
const FINDINGS: &str = "signatures";

/// Its others.
const OTHER_SETS: &str = "32bit_unique containers default derived flows fs fs_async_io fs_dir_ops fs_fd_ops fs_file_attr \
                          fs_file_ops fs_info fs_link_ops fs_monitor fs_mux_io fs_read_write fs_sync ipc_futex ipc_pipe \
                          ipc_sem ipc_shm lsm lsm_hooks net net_snd_rcv net_sock network_events packets proc proc_ids \
                          proc_life proc_mem proc_sched security_alert signal signals system system_keys system_module \
                          system_numa tests time time_clock time_timer time_tod";

/// The event of a call.
pub(super) const MSGGET: &str = "msgget";
/// The event of what becomes of a queue.
pub(super) const MSGCTL: &str = "msgctl";
/// The events of uses of queues that are not there.
pub(super) const MSGSND: &str = "msgsnd";
pub(super) const MSGRCV: &str = "msgrcv";
/// All that are system calls.
pub(super) const CALLS: [&str; 4] = [MSGGET, MSGCTL, MSGSND, MSGRCV];

/// Every event that a policy can want, findings last.
fn ours() -> impl Iterator<Item = &'static str> {
    CALLS.into_iter().chain(findings())
}

/// Names of findings.
pub(super) fn findings() -> impl Iterator<Item = &'static str> {
    detect::RULES.iter().map(|rule| rule.name)
}

/// What a rule says of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Those it is about.
    pub(super) wanted: Vec<&'static str>,
    /// Those that its policy is not to have.
    pub(super) unwanted: Vec<&'static str>,
    /// Things to say that are no errors.
    pub(super) warnings: Vec<String>,
}

/// Reads `names`, separated by commas: of an event, of a set (`tag=NAME` where there is an event of this name, too), with `*`
/// at the end of all that begin so, with `-` in front of what is not wanted.
pub(super) fn select(names: &str) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for name in names.split(',').map(str::trim) {
        let (name, unwanted) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let (found, warning) = named(name)?;
        let list = if unwanted { &mut selection.unwanted } else { &mut selection.wanted };
        list.extend(found);
        selection.warnings.extend(warning);
    }
    for list in [&mut selection.wanted, &mut selection.unwanted] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(selection)
}

/// Those of ours with this name, and what there is to say about it.
fn named(name: &str) -> Result<(Vec<&'static str>, Option<String>), String> {
    if name.is_empty() {
        return Err("an event has no name here; write that of one, as msgget".to_owned());
    }
    let set = name.strip_prefix("tag=").or_else(|| name.strip_prefix("set="));
    if let Some(start) = name.strip_suffix('*').filter(|_| set.is_none()) {
        let found: Vec<_> = ours().filter(|event| event.starts_with(start)).collect();
        if !found.is_empty() {
            return Ok((found, None));
        }
        if tracee().any(|event| event.starts_with(start)) {
            return Ok((found, Some(unseen(name))));
        }
        return Err(unknown("no event begins so", name));
    }
    if set.is_none() {
        if let Some(event) = ours().find(|event| *event == name) {
            return Ok((vec![event], None));
        }
        if name == "ipc" {
            let what = "the multiplexer ipc(2) is told of as what it is asked for: write `event: msgget` and `msgctl`, which \
                        include it, or `tag=ipc` for the set";
            return Ok((Vec::new(), Some(what.to_owned())));
        }
        if tracee().any(|event| event == name) {
            return Ok((Vec::new(), Some(unseen(name))));
        }
    }
    match set.unwrap_or(name) {
        FINDINGS => Ok((findings().collect(), None)),
        ours if OUR_SETS.contains(&ours) => Ok((CALLS.to_vec(), None)),
        other if OTHER_SETS.split(' ').any(|set| set == other) => Ok((Vec::new(), Some(unseen(name)))),
        other if set.is_some() => {
            Err(format!("no set is called {}; that of message queues is ipc_msgq", quoted(other)))
        }
        _ => Err(unknown("no event is called so", name)),
    }
}

fn tracee() -> impl Iterator<Item = &'static str> {
    TRACEE.lines()
}

fn unseen(name: &str) -> String {
    format!("Tracee has {}, msgget-trace does not see it: this selects nothing", quoted(name))
}

fn unknown(what: &str, name: &str) -> String {
    let known: Vec<_> = ours().collect();
    format!("{}: {what}; msgget-trace has {}, and the set ipc_msgq", quoted(name), known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &str) -> Vec<&'static str> {
        select(names).unwrap().wanted
    }

    #[test]
    fn names_sets_and_beginnings() {
        assert_eq!(wanted("msgget"), [MSGGET]);
        for set in ["ipc_msgq", "tag=ipc", "set=syscalls", "msg*", "msgget, msgctl, msgsnd, msgrcv"] {
            assert_eq!(wanted(set), [MSGCTL, MSGGET, MSGRCV, MSGSND], "{set}");
        }
        let all: Vec<_> = findings().collect();
        assert!(!all.is_empty());
        for name in &all {
            assert_eq!(wanted(name), [*name]);
        }
        assert_eq!(wanted("*").len(), all.len() + CALLS.len());
        assert_eq!(wanted("signatures").len(), all.len());
        let without = select("ipc_msgq,-msgctl").unwrap();
        assert_eq!((without.wanted, without.unwanted), (vec![MSGCTL, MSGGET, MSGRCV, MSGSND], vec![MSGCTL]));
    }

    #[test]
    fn what_tracee_sees_is_no_error() {
        for name in ["openat", "ipc", "net_packet_dns", "anti_debugging", "open*", "fs", "tag=net", "semop"] {
            let selection = select(name).unwrap();
            assert_eq!((selection.wanted.len(), selection.warnings.len()), (0, 1), "{name}");
        }
        assert_eq!(select("openat,msgget").unwrap().wanted, [MSGGET]);
    }

    #[test]
    fn what_nobody_has_is_an_error() {
        for (name, word) in [
            ("msgettt", "no event is called so"),
            ("", "no name"),
            ("msgget,", "no name"),
            ("-", "no name"),
            ("MSGGET", "no event is called so"),
            ("zzz*", "no event begins so"),
            ("tag=zzz", "no set"),
            ("tag=msgget", "no set"),
        ] {
            let error = select(name).unwrap_err();
            assert!(error.contains(word), "{name}: {error}");
        }
    }
}

//! The ladder: what the user asked for and what this kernel is go in; the rungs to try come out, from the top, and why the
//! others are not tried.
//!
//! Whether a rung works is not decided here but by its canaries.

use std::fs;

use super::{
    BTF_PATH,
    attach::{mount, on_private_mounts},
    btf::{Btf, BtfError},
};
use crate::event::{Passed, Rung};

/// Which hooks the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The highest rung that is right on this kernel.
    Auto,
    /// This one, or failure.
    Only(Rung),
}

/// A function, and the names of its parameters.
type Signature = (&'static str, &'static [&'static str]);

/// The functions the `fexit` rung attaches to, with the parameters its programs expect.
const SIGNATURES: [Signature; 4] = [
    ("ipcget", &["ns", "ids", "ops", "params"]),
    ("newque", &["ns", "params"]),
    ("freeque", &["ns", "ipcp"]),
    ("security_msg_queue_associate", &["msq", "msqflg"]),
];

/// Those it also attaches to where uses of queues that are not there are to be seen.
const OF_USES: [Signature; 2] = [
    ("do_msgsnd", &["msqid", "mtype", "mtext", "msgsz", "msgflg"]),
    ("do_msgrcv", &["msqid", "buf", "bufsz", "msgtyp", "msgflg", "msg_handler"]),
];

/// The rungs to try, best first, and those not worth it; `stale_ids` if uses of queues that are not there are to be seen.
#[must_use]
pub fn candidates(choice: Choice, stale_ids: bool) -> (Vec<Rung>, Vec<Passed>) {
    match choice {
        Choice::Only(rung) => (vec![rung], Vec::new()),
        Choice::Auto => {
            let mut rungs = vec![Rung::TpBtf, Rung::Tracepoint];
            match fexit_unfit(stale_ids) {
                None => rungs.insert(0, Rung::Fexit),
                Some(reason) => {
                    return (rungs, vec![Passed { rung: Rung::Fexit, reason }]);
                }
            }
            (rungs, Vec::new())
        }
    }
}

/// Why the `fexit` rung would be wrong here, if it would.
fn fexit_unfit(stale_ids: bool) -> Option<String> {
    let model = preemption();
    if !matches!(model.as_deref(), Some("none" | "voluntary")) {
        let model = model.as_deref().unwrap_or("unknown");
        return Some(format!(
            "the preemption model is {model}: a task preempted inside such a program makes the kernel skip it for others"
        ));
    }
    let bytes = fs::read(BTF_PATH).ok()?;
    match signatures(&bytes, stale_ids) {
        Ok(unfit) => unfit,
        Err(error) => Some(error.to_string()),
    }
}

/// The first function that is not what its program was written for.
fn signatures(btf: &[u8], stale_ids: bool) -> Result<Option<String>, BtfError> {
    let btf = Btf::parse(btf)?;
    let of_uses = if stale_ids { &OF_USES[..] } else { &[] };
    for (function, expected) in SIGNATURES.iter().chain(of_uses) {
        let found = btf.function_params(function)?;
        if found != *expected {
            return Ok(Some(format!("{function} takes ({}), not ({})", found.join(", "), expected.join(", "))));
        }
    }
    Ok(None)
}

/// The preemption model in force, as sched_debug shows it: the one in brackets.
fn preemption() -> Option<String> {
    const PATH: &str = "/sys/kernel/debug/sched/preempt";
    let read = || fs::read_to_string(PATH).ok();
    let models = read()
        .or_else(|| on_private_mounts(|| mount(c"debugfs", c"/sys/kernel/debug").ok().and_then(|()| read())).ok()?);
    match models {
        Some(models) => in_brackets(&models).map(str::to_owned),
        // Without a choice at run time uname(2) says which: PREEMPT is full, no word is none or voluntary.
        None => {
            let version = fs::read_to_string("/proc/sys/kernel/version").ok()?;
            let words: Vec<_> = version.split_whitespace().collect();
            let dynamic = words.iter().any(|word| word.starts_with("PREEMPT"));
            (!dynamic).then(|| "voluntary".to_owned())
        }
    }
}

fn in_brackets(models: &str) -> Option<&str> {
    models.split_once('(')?.1.split_once(')').map(|(model, _)| model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_in_force_is_in_brackets() {
        assert_eq!(in_brackets("none (voluntary) full \n"), Some("voluntary"));
        assert_eq!(in_brackets("none voluntary (full) lazy"), Some("full"));
        assert_eq!(in_brackets("none"), None);
    }

    #[test]
    fn a_wish_is_a_wish() {
        assert_eq!(candidates(Choice::Only(Rung::Fexit), true), (vec![Rung::Fexit], Vec::new()));
        for stale_ids in [false, true] {
            let (rungs, passed) = candidates(Choice::Auto, stale_ids);
            assert!(rungs.ends_with(&[Rung::TpBtf, Rung::Tracepoint]));
            assert_eq!(rungs.len() + passed.len(), 3, "each is tried, or its absence has a reason");
        }
    }
}

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

/// The functions the `fexit` rung attaches to, with the parameters its programs expect.
const SIGNATURES: [(&str, &[&str]); 4] = [
    ("ipcget", &["ns", "ids", "ops", "params"]),
    ("newque", &["ns", "params"]),
    ("freeque", &["ns", "ipcp"]),
    ("security_msg_queue_associate", &["msq", "msqflg"]),
];

/// The rungs to try, best first, and those not worth it.
#[must_use]
pub fn candidates(choice: Choice) -> (Vec<Rung>, Vec<Passed>) {
    match choice {
        Choice::Only(rung) => (vec![rung], Vec::new()),
        Choice::Auto => {
            let mut rungs = vec![Rung::TpBtf, Rung::Tracepoint];
            match fexit_unfit() {
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
fn fexit_unfit() -> Option<String> {
    let model = preemption();
    if !matches!(model.as_deref(), Some("none" | "voluntary")) {
        let model = model.as_deref().unwrap_or("unknown");
        return Some(format!(
            "the preemption model is {model}: a task preempted inside such a program makes the kernel skip it for others"
        ));
    }
    let bytes = fs::read(BTF_PATH).ok()?;
    match signatures(&bytes) {
        Ok(unfit) => unfit,
        Err(error) => Some(error.to_string()),
    }
}

/// The first function that is not what its program was written for.
fn signatures(btf: &[u8]) -> Result<Option<String>, BtfError> {
    let btf = Btf::parse(btf)?;
    for (function, expected) in SIGNATURES {
        let found = btf.function_params(function)?;
        if found != expected {
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
        assert_eq!(candidates(Choice::Only(Rung::Fexit)), (vec![Rung::Fexit], Vec::new()));
        let (rungs, passed) = candidates(Choice::Auto);
        assert!(rungs.ends_with(&[Rung::TpBtf, Rung::Tracepoint]));
        assert_eq!(rungs.len() + passed.len(), 3, "each is tried, or its absence has a reason");
    }
}

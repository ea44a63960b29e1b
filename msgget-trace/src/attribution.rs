//! Attribution: what the accounts hold and what the kernel counted altogether goes in, again and again; the calls since the
//! last time come out, each once, and those that no account explains as such. Pure.
//!
//! Accounts are only ever added to, never reset, so that no call can fall between a reading and a resetting; what was known
//! of each is remembered here. An account that is evicted, or closed between its reading and a last call, takes what was not
//! read with it: that is missing in the sum, and comes out as unattributed.

use std::collections::HashMap;

use msgget_trace_ebpf::{ABSENT, ACCOUNT_PROCESS, Account, AccountKey, Offsets};

use crate::event::{Aggregate, Attributed, BootTime, Counts, Payer};

/// Looks after which an account that nothing was added to is closed.
const PATIENCE: u32 = 3;

/// What is known of an account.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Which one it is of those that had the key.
    opened_ns: u64,
    counts: Counts,
    last_ns: u64,
    /// Looks since something was added.
    quiet: u32,
}

/// What has been told of so far.
#[derive(Debug, Default)]
pub struct Attribution {
    /// Not more than the kernel lists.
    known: HashMap<AccountKey, Known>,
    attributed: Counts,
    unattributed: Counts,
}

/// What a look brings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The calls since the last look.
    pub aggregates: Vec<Aggregate>,
    /// Accounts to close.
    pub quiet: Vec<AccountKey>,
}

impl Attribution {
    /// Goes on where somebody else has told of calls, nobody knows how many of which account: what `accounts` hold already
    /// counts as told, and comes out as unattributed where it was not.
    #[must_use]
    pub fn resume(accounts: &[(AccountKey, Account)]) -> Self {
        let known = |(key, account): &(AccountKey, Account)| {
            let (opened_ns, last_ns, counts) = (account.opened_ns, account.last_ns, Counts(account.counts));
            (*key, Known { opened_ns, counts, last_ns, quiet: 0 })
        };
        Self { known: accounts.iter().map(known).collect(), ..Self::default() }
    }

    /// What came out so far.
    #[must_use]
    pub fn told(&self) -> Counts {
        let mut told = self.attributed;
        told.add(&self.unattributed);
        told
    }

    /// True if `total` has grown, or an account may be closed.
    #[must_use]
    pub fn due(&self, total: &Counts) -> bool {
        !self.known.is_empty() || self.told() != *total
    }

    /// Takes note at the moment `now` of what `accounts` hold, and of what the kernel had counted before they were read: so a
    /// call that came between is not called unattributed. When nothing is counted any more, it does not matter which is first.
    pub fn look(
        &mut self,
        total: &Counts,
        accounts: &[(AccountKey, Account)],
        offsets: &Offsets,
        now: BootTime,
    ) -> Look {
        let mut look = Look::default();
        let mut room = total.above(&self.told());
        let mut known = HashMap::with_capacity(accounts.len());
        for (key, account) in accounts {
            let former = self.known.get(key).filter(|former| former.opened_ns == account.opened_ns);
            let before = former.map_or(Counts::default(), |former| former.counts);
            // Not more than was counted altogether: an account that was closed to us for a while holds calls that came out as
            // unattributed. What is left over now is looked at the next time.
            let counts = Counts(account.counts).above(&before).within(&room);
            room = room.above(&counts);
            let quiet = if counts.total() > 0 { 0 } else { former.map_or(0, |former| former.quiet) + 1 };
            if counts.total() > 0 {
                let since = former.map_or(0, |former| former.last_ns);
                look.aggregates.push(Aggregate {
                    at: now,
                    counts,
                    attributed: Some(attributed(key, account, since, offsets)),
                });
                self.attributed.add(&counts);
            }
            if quiet >= PATIENCE {
                look.quiet.push(*key);
                continue;
            }
            let mut told = before;
            told.add(&counts);
            known.insert(*key, Known { opened_ns: account.opened_ns, counts: told, last_ns: account.last_ns, quiet });
        }
        self.known = known;
        if room.total() > 0 {
            self.unattributed.add(&room);
            look.aggregates.push(Aggregate { at: now, counts: room, attributed: None });
        }
        look
    }
}

/// What `account` says of the calls since `since`, when the last of the former ones returned.
fn attributed(key: &AccountKey, account: &Account, since: u64, offsets: &Offsets) -> Attributed {
    let have = |offset: u32| offset != ABSENT;
    // Runs of calls with a pause between: the latest began at `first_ns`. If one before it ended after `since`, calls of that
    // are among these, and nobody knows since when.
    let first = if account.paused_ns > since { since } else { account.first_ns.max(since) };
    let sampled = |nth: &usize| account.sampled & (1 << nth) != 0;
    let owner = key.kind != ACCOUNT_PROCESS;
    Attributed {
        payer: if owner {
            Payer::Owner
        } else {
            let started = have(offsets.task_start_boottime).then_some(BootTime(account.start_ns));
            Payer::Process { pid: key.id, started }
        },
        first: BootTime(first.min(account.last_ns)),
        last: BootTime(account.last_ns),
        sample_keys: (0..account.samples.len()).filter(sampled).map(|nth| account.samples[nth]).collect(),
        comm: account.comm,
        euid: have(offsets.cred_euid).then_some(if owner { key.id } else { account.euid }),
        cgroup_id: if owner { key.cgroup_id } else { account.cgroup_id },
        ipc_ns: have(offsets.ipc_inum).then_some(account.ipc_ns),
    }
}

#[cfg(test)]
mod tests;

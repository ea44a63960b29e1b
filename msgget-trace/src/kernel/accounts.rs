//! The account tables of the kernel program go in; the accounts that have something counted of late come out.

use aya::maps::{HashMap, Map, MapData, MapError};
use msgget_trace_ebpf::{ACCOUNT_PROCESS, Account, AccountKey};

use super::load::{Abi, refused};
use crate::failure::Failure;

/// The accounts of processes and owners, and the list of those that were past their budget of late.
pub(super) struct Accounts {
    processes: HashMap<MapData, u32, Abi<Account>>,
    owners: HashMap<MapData, Abi<AccountKey>, Abi<Account>>,
    listed: HashMap<MapData, Abi<AccountKey>, u32>,
}

impl Accounts {
    /// Takes the tables that `maps` finds by name.
    pub(super) fn new(maps: &mut impl FnMut(&str) -> Result<Map, Failure>) -> Result<Self, Failure> {
        let failed = |error: MapError| refused("the accounts", &error);
        Ok(Self {
            processes: HashMap::try_from(maps("PROCESSES")?).map_err(failed)?,
            owners: HashMap::try_from(maps("OWNERS")?).map_err(failed)?,
            listed: HashMap::try_from(maps("LISTED")?).map_err(failed)?,
        })
    }

    /// What the listed accounts hold. One that has been evicted is struck off the list.
    pub(super) fn read(&mut self) -> Result<Vec<(AccountKey, Account)>, Failure> {
        let failed = |error: MapError| refused("reading the accounts", &error);
        // First all keys: the iteration begins anew if one is removed under it.
        let keys: Vec<_> = self.listed.keys().collect::<Result<_, _>>().map_err(failed)?;
        let mut accounts = Vec::new();
        for Abi(key) in keys {
            match self.account(&key) {
                Ok(Abi(account)) => accounts.push((key, account)),
                Err(MapError::KeyNotFound) => missing_is_fine(self.listed.remove(&Abi(key)))?,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(accounts)
    }

    /// Closes an account: a later call of its process or owner opens another. Off the list first, so that no account that is
    /// opened meanwhile is struck off in its place.
    pub(super) fn close(&mut self, key: AccountKey) -> Result<(), Failure> {
        missing_is_fine(self.listed.remove(&Abi(key)))?;
        missing_is_fine(if key.kind == ACCOUNT_PROCESS {
            self.processes.remove(&key.id)
        } else {
            self.owners.remove(&Abi(key))
        })
    }

    fn account(&self, key: &AccountKey) -> Result<Abi<Account>, MapError> {
        if key.kind == ACCOUNT_PROCESS { self.processes.get(&key.id, 0) } else { self.owners.get(&Abi(*key), 0) }
    }
}

/// The kernel evicts accounts whenever it likes.
fn missing_is_fine(removed: Result<(), MapError>) -> Result<(), Failure> {
    match removed {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(refused("closing an account", &error)),
    }
}

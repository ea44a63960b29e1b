//! What policies can be asked before a call is sent goes in, the kernel program's tables come out. Old and new tables stand beside
//! each other, and one word says which are in force.

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use msgget_trace_ebpf::{SCOPE_CGROUP, ScopeKey, Scopes};

use super::{
    load::{Abi, refused},
    state::Shared,
};
use crate::{failure::Failure, policy::Sieve};

/// The tables.
pub(super) struct ScopeMaps {
    scopes: Array<MapData, Abi<Scopes>>,
    values: HashMap<MapData, Abi<ScopeKey>, u64>,
    cgroups: HashMap<MapData, Abi<ScopeKey>, u64>,
}

impl ScopeMaps {
    /// Takes the tables that `maps` finds by name.
    pub(super) fn new(maps: &mut impl FnMut(&str) -> Result<Map, Failure>) -> Result<Self, Failure> {
        Ok(Self {
            scopes: Array::try_from(maps("SCOPES")?).map_err(failed)?,
            values: HashMap::try_from(maps("SCOPE_VALUES")?).map_err(failed)?,
            cgroups: HashMap::try_from(maps("SCOPE_CGROUPS")?).map_err(failed)?,
        })
    }

    /// Puts `sieve` into force; `None`: every call is sent. Where that fails, every call is sent, too.
    pub(super) fn set(&mut self, sieve: Option<&Sieve>, shared: &mut Shared) -> Result<(), Failure> {
        let former = shared.scopes();
        let Some(sieve) = sieve else {
            shared.set_scopes(0);
            return Ok(());
        };
        let generation = former.wrapping_add(1).max(1);
        if let Err(error) = self.fill(sieve, former, generation) {
            shared.set_scopes(0);
            return Err(failed(error));
        }
        shared.set_scopes(generation);
        Ok(())
    }

    fn fill(&mut self, sieve: &Sieve, former: u32, generation: u32) -> Result<(), MapError> {
        // A program may still be looking at the former tables, never at those before.
        let keys: Vec<_> = self.values.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|Abi(key)| key.generation != former) {
            self.values.remove(&key)?;
        }
        for (&(field, value), policies) in &sieve.listed {
            self.values.insert(Abi(ScopeKey { generation, field, value }), policies, 0)?;
        }
        self.scopes.set(generation & 1, Abi(sieve.scopes), 0)
    }

    /// Says which `policies` may want calls from `cgroup`, by its id.
    pub(super) fn learn(&mut self, cgroup: u64, policies: u64, shared: &Shared) -> Result<(), Failure> {
        let generation = shared.scopes();
        if generation == 0 {
            return Ok(());
        }
        let key = ScopeKey { generation, field: SCOPE_CGROUP, value: [cgroup, 0] };
        self.cgroups.insert(Abi(key), policies, 0).map_err(failed)
    }
}

fn failed(error: MapError) -> Failure {
    refused("the tables of scopes", &error)
}

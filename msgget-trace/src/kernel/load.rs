//! Loading: settings go in, programs in the kernel come out, with the ring and the counters they share with us.

use std::{
    fmt, fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray},
    programs::{ProgramFd, ProgramInfo},
};
use msgget_trace_ebpf::{
    ABI_VERSION, Account, AccountKey, Config, Counters, MEMBERS, Mark, Offsets, Reader, SCOPE_CGROUPS, SCOPE_VALUES,
    ScopeKey, Scopes, State,
};
use uuid::Uuid;

use super::{
    KernelLogger, OBJECT, Settings, Skipped, accounts::Accounts, attach::Links, in_flight::InFlight, offsets, pin,
    ring::Ring, scopes::ScopeMaps, state::Shared,
};
use crate::{config::Scope, event::Rung, failure::Failure, policy::Sieve};

/// A type of the ABI, in a wrapper of ours: the rules of coherence let nobody else declare it plain data for aya.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Abi<T>(pub(super) T);

// SAFETY: `repr(C)`, integers only, no padding.
unsafe impl aya::Pod for Abi<Offsets> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<Config> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<Counters> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<Account> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<AccountKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<Scopes> {}
// SAFETY: as above.
unsafe impl aya::Pod for Abi<ScopeKey> {}

/// One [`Counters`] for each CPU.
type PerCpu = PerCpuArray<MapData, Abi<Counters>>;

/// What is shared with the programs.
#[derive(Debug)]
pub struct Handles {
    /// Where their records come out.
    pub ring: Ring,
    /// Where it is seen who is in a call.
    pub in_flight: InFlight,
    /// What they know of us, and the next daemon will.
    pub shared: Shared,
}

/// The programs in the kernel. Dropping it takes them out, unless they are pinned.
pub struct Kernel {
    links: Option<Links>,
    /// Before it is attached, and where nothing else holds the programs.
    ebpf: Option<Ebpf>,
    /// Descriptors of the programs, in the order of [`Links::programs`].
    programs: Vec<ProgramFd>,
    settings: Settings,
    /// Taken over, and not what we would have loaded.
    foreign: bool,
    counters: PerCpu,
    accounts: Accounts,
    scopes: ScopeMaps,
    /// The folder of the pins.
    set: Option<PathBuf>,
    /// Which members this kernel has.
    pub offsets: Offsets,
}

impl Kernel {
    /// Loads the programs, attached to nothing yet, and maps what they share with us; pins the maps in the folder `set`, if
    /// there is one.
    ///
    /// # Errors
    /// [`Failure::NoBtf`], [`Failure::Btf`], [`Failure::Refused`], [`Failure::Pins`].
    pub fn load(settings: &Settings, ring: Uuid, set: Option<PathBuf>) -> Result<(Self, Handles), Failure> {
        let offsets = offsets::read()?;
        // The helpers that read memory by address are forbidden under lockdown=confidentiality; without them the ids
        // inside pid namespaces and the executables are absent. The lockdown file may not be mounted, so trying tells.
        let mut read_kernel = true;
        let mut ebpf = open(settings, offsets, read_kernel)?;
        if Links::load(&mut ebpf, settings).is_err() {
            read_kernel = false;
            ebpf = open(settings, offsets, read_kernel)?;
            Links::load(&mut ebpf, settings)?;
        }
        if let Some(set) = &set {
            pin::create(set)?;
            for name in pin::MAPS {
                let map = ebpf.map(name).ok_or_else(|| unexpected("a map is missing from the kernel program"))?;
                let failed = |error| Failure::Pins { path: set.clone(), error: io::Error::other(chain(&error)) };
                map.pin(set.join(name)).map_err(failed)?;
            }
        }
        let mut maps =
            |name: &str| ebpf.take_map(name).ok_or_else(|| unexpected("a map is missing from the kernel program"));
        let (mut handles, Tables { counters, accounts, scopes }) = share(&mut maps, settings.ring_bytes)?;
        let state = State {
            version: 0,
            rung: rung_number(settings.rung),
            ring: ring.into_bytes(),
            settings: settings.digest(&offsets, read_kernel),
            ring_bytes: settings.ring_bytes,
            scopes: 0,
            reader: Reader::default(),
            attached_ns: 0,
            from_ns: u64::MAX,
            until_ns: u64::MAX,
            marks: [Mark::default(); 2],
        };
        handles.shared.write(state);
        let programs = Vec::new();
        let (settings, foreign) = (*settings, false);
        Ok((
            Self {
                links: None,
                ebpf: Some(ebpf),
                programs,
                settings,
                foreign,
                counters,
                accounts,
                scopes,
                set,
                offsets,
            },
            handles,
        ))
    }

    /// Takes over the programs that are pinned in the folder `set`. `None` if their records cannot be decoded, because
    /// another version wrote them, or if they were never trusted.
    ///
    /// # Errors
    /// [`Failure::NoBtf`], [`Failure::Btf`].
    pub fn adopt(settings: &Settings, set: &Path) -> Result<Option<(Self, Handles)>, Failure> {
        let offsets = offsets::read()?;
        let mut maps = |name: &str| {
            let map = MapData::from_pin(set.join(name)).and_then(Map::from_map_data);
            map.map_err(|error| refused("the pinned maps", &error))
        };
        // The state first: it says how long the ring is.
        let Ok(Map::Array(state)) = maps("STATE") else { return Ok(None) };
        let Ok(shared) = Shared::new(state.fd().as_fd()) else { return Ok(None) };
        let state = shared.read();
        let Some(rung) = Rung::ALL.into_iter().find(|rung| rung_number(*rung) == state.rung) else { return Ok(None) };
        let settings = Settings { rung, ..*settings };
        if state.version != u32::from(ABI_VERSION) {
            return Ok(None);
        }
        if state.from_ns == u64::MAX {
            // Others told of its calls.
            return pin::remove(set).map(|()| None);
        }
        let foreign = [true, false].iter().all(|read| settings.digest(&offsets, *read) != state.settings);
        let Ok((handles, tables)) = share(&mut maps, state.ring_bytes) else { return Ok(None) };
        let Tables { counters, accounts, scopes } = tables;
        let program = |name| ProgramInfo::from_pin(set.join(format!("prog_{name}"))).and_then(|info| info.fd()).ok();
        // What is there counts, for whoever left it may have been told something else.
        let stale_ids = Links::sees_uses(rung, set).unwrap_or(settings.stale_ids);
        let settings = Settings { stale_ids, ..settings };
        let Some(programs) = Links::programs(rung, stale_ids).map(program).collect() else { return Ok(None) };
        let links = Links::adopt(rung, stale_ids, set);
        if links.is_none() {
            // Somebody died while detaching them.
            pin::unlink(set)?;
        }
        let settings = Settings { ring_bytes: state.ring_bytes, ..settings };
        let set = Some(set.to_owned());
        let kernel = Self { links, ebpf: None, programs, settings, foreign, counters, accounts, scopes, set, offsets };
        Ok(Some((kernel, handles)))
    }

    /// Attaches the hooks.
    ///
    /// # Errors
    /// [`Failure::Tracefs`], [`Failure::Refused`], [`Failure::Pins`].
    pub fn attach(&mut self) -> Result<(), Failure> {
        let settings = self.settings;
        let Some(ebpf) = &mut self.ebpf else { return Err(unexpected("there is nothing to attach")) };
        self.links = Some(Links::attach(ebpf, &settings, self.set.as_deref())?);
        for name in Links::programs(settings.rung, settings.stale_ids) {
            let fd = ebpf.program(name).and_then(|program| program.fd().ok()).and_then(|fd| fd.try_clone().ok());
            self.programs.extend(fd);
        }
        Ok(())
    }

    /// By which hooks.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.settings.rung
    }

    /// Whether these are other programs than would be loaded now, or were told something else.
    #[must_use]
    pub const fn foreign(&self) -> bool {
        self.foreign
    }

    /// Whether the hooks are attached.
    #[must_use]
    pub const fn attached(&self) -> bool {
        self.links.is_some()
    }

    /// Whether it would outlive us.
    #[must_use]
    pub const fn pinned(&self) -> bool {
        self.set.is_some()
    }

    /// The first pin that should be there and is not.
    #[must_use]
    pub fn unpinned(&self) -> Option<PathBuf> {
        let set = self.set.as_deref()?;
        let programs = Links::programs(self.settings.rung, self.settings.stale_ids);
        let links = programs.filter(|_| self.attached()).map(|name| format!("link_{name}"));
        let mut pins = links.chain(pin::MAPS.map(str::to_owned)).map(|name| set.join(name));
        pins.find(|pin| !pin.exists())
    }

    /// Detaches the hooks. The ring and the counters stay.
    pub fn detach(&mut self) {
        if let Some(links) = self.links.take() {
            links.detach();
        }
    }

    /// Removes all pins: nothing outlives us any more.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub fn unpin(&mut self) -> Result<(), Failure> {
        self.set.take().map_or(Ok(()), |set| pin::remove(&set))
    }

    /// What the kernel side counted so far on each CPU.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the map cannot be read.
    pub fn counters(&self) -> Result<Vec<Counters>, Failure> {
        let cpus = self.counters.get(&0, 0).map_err(|error| refused("reading the counters", &error))?;
        Ok(cpus.iter().map(|Abi(cpu)| *cpu).collect())
    }

    /// The accounts that were past their budget of late.
    ///
    /// # Errors
    /// [`Failure::Refused`] when their tables cannot be read.
    pub fn accounts(&mut self) -> Result<Vec<(AccountKey, Account)>, Failure> {
        self.accounts.read()
    }

    /// Closes an account.
    ///
    /// # Errors
    /// As [`Self::accounts`].
    pub fn close_account(&mut self, key: AccountKey) -> Result<(), Failure> {
        self.accounts.close(key)
    }

    /// Leaves out the calls that `sieve` says nobody wants, where the programs were loaded to do so. `shared` is what was handed
    /// out with them.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the tables cannot be written: nothing is left out then.
    pub fn leave_out(&mut self, sieve: Option<&Sieve>, shared: &mut Shared) -> Result<(), Failure> {
        if self.settings.scoped && !self.foreign { self.scopes.set(sieve, shared) } else { Ok(()) }
    }

    /// Leaves out the calls from a cgroup, by its id, that none of `policies` may want.
    ///
    /// # Errors
    /// As [`Self::leave_out`].
    pub fn leave_out_cgroup(&mut self, cgroup: u64, policies: u64, shared: &Shared) -> Result<(), Failure> {
        if self.settings.scoped && !self.foreign { self.scopes.learn(cgroup, policies, shared) } else { Ok(()) }
    }

    /// Runs of our programs that the kernel skipped so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        let misses = |program: &ProgramFd| {
            let fd = program.as_fd().as_raw_fd();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            line.trim().parse::<u64>().ok()
        };
        // The first is the one that makes the records of calls, see `hooks`.
        let mut programs = self.programs.iter().map(|program| misses(program).unwrap_or_default());
        Skipped { calls: programs.next().unwrap_or_default(), halves: programs.sum() }
    }

    /// The diagnostics of the kernel program.
    ///
    /// # Errors
    /// [`Failure::Refused`] when their map is missing or cannot be polled.
    pub fn logger(&mut self) -> Result<KernelLogger, Failure> {
        let Some(ebpf) = &mut self.ebpf else { return Err(unexpected("an adopted program has no log")) };
        KernelLogger::new(ebpf)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("links", &self.links).field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn open(settings: &Settings, offsets: Offsets, read_kernel: bool) -> Result<Ebpf, Failure> {
    // The member table takes 4 MiB and is used by `exec` only.
    let members = if settings.scope == Scope::Descendants { MEMBERS } else { 1 };
    let (values, cgroups) = if settings.scoped { (2 * SCOPE_VALUES, SCOPE_CGROUPS) } else { (1, 1) };
    EbpfLoader::new()
        .override_global("OFFSETS", &Abi(offsets), true)
        .override_global("CONFIG", &Abi(settings.config(read_kernel)), true)
        .override_global("AYA_LOG_LEVEL", &settings.log_level(), true)
        .map_max_entries("RECORDS", settings.ring_bytes)
        .map_max_entries("MEMBERS", members)
        .map_max_entries("SCOPE_VALUES", values)
        .map_max_entries("SCOPE_CGROUPS", cgroups)
        .load(OBJECT)
        .map_err(|error| refused("the maps", &error))
}

/// What is shared with the programs through system calls.
struct Tables {
    counters: PerCpu,
    accounts: Accounts,
    scopes: ScopeMaps,
}

/// Maps into our memory what `maps` finds by name.
fn share(maps: &mut impl FnMut(&str) -> Result<Map, Failure>, ring_bytes: u32) -> Result<(Handles, Tables), Failure> {
    let Map::RingBuf(records) = maps("RECORDS")? else { return Err(unexpected("RECORDS is no ring")) };
    let fd = records.fd().as_fd().try_clone_to_owned();
    let fd = fd.map_err(Failure::internal("duplicating the ring's descriptor"))?;
    let ring = Ring::new(fd, ring_bytes).map_err(Failure::internal("mapping the ring"))?;
    let Map::Array(slots) = maps("SLOTS")? else { return Err(unexpected("SLOTS is no array")) };
    let in_flight = InFlight::new(slots.fd().as_fd()).map_err(Failure::internal("mapping the slots"))?;
    let Map::Array(state) = maps("STATE")? else { return Err(unexpected("STATE is no array")) };
    let shared = Shared::new(state.fd().as_fd()).map_err(Failure::internal("mapping the state"))?;
    let counters = PerCpuArray::try_from(maps("COUNTERS")?).map_err(|error| refused("the counters", &error))?;
    let tables = Tables { counters, accounts: Accounts::new(maps)?, scopes: ScopeMaps::new(maps)? };
    Ok((Handles { ring, in_flight, shared }, tables))
}

/// A rung in the words of [`State`].
const fn rung_number(rung: Rung) -> u32 {
    match rung {
        Rung::Tracepoint => 1,
        Rung::TpBtf => 2,
        Rung::Fexit => 3,
    }
}

/// The embedded object is not the one this was written with: a defect of the build.
fn unexpected(what: &'static str) -> Failure {
    Failure::Internal { doing: "loading the kernel program", error: io::Error::other(what) }
}

/// An error of aya's.
pub(super) fn refused(doing: &str, error: &dyn std::error::Error) -> Failure {
    Failure::Refused { doing: doing.to_owned(), error: chain(error) }
}

/// aya's errors name the call in one and the reason in the next of their sources.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

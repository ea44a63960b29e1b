//! Loading: settings go in, programs in the kernel come out, with the ring and the counters they share with us.

use std::{
    fmt, fs, io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray},
};
use aya_log::EbpfLogger;
use msgget_trace_ebpf::{Account, AccountKey, Config, Counters, MEMBERS, Offsets};
use tokio::io::{Interest, unix::AsyncFd};

use super::{accounts::Accounts, attach::Links, in_flight::InFlight, offsets, ring::Ring};
use crate::{
    cli::KernelLog,
    config::{Budgets, Scope},
    event::Rung,
    failure::Failure,
    readiness::watch,
};

/// The kernel program, as build.rs made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/msgget-trace-ebpf"));

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

/// What the kernel program is told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// By which hooks.
    pub rung: Rung,
    /// Which calls.
    pub scope: Scope,
    /// Size of the ring in bytes.
    pub ring_bytes: u32,
    /// What the program says.
    pub log: KernelLog,
    /// Whether the command lines of callers are read.
    pub command_lines: bool,
    /// How much a caller may send.
    pub budgets: Budgets,
    /// The daemon's process id in its own pid namespace.
    pub self_pid: u32,
    /// Inode number of that namespace.
    pub self_pid_ns: u32,
    /// The canary's key.
    pub canary_key: i32,
}

/// Runs of our programs that the kernel skipped because one was running on that CPU already (`recursion_misses`,
/// kernel/bpf/syscall.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Of the program that makes the records: so many calls nobody saw. Fewer where the program runs for other calls, too.
    pub calls: u64,
    /// Of the others: so many calls say less than they could, or so many removals nobody saw.
    pub halves: u64,
}

impl Skipped {
    /// Both added up.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, halves: self.halves + other.halves }
    }
}

/// The programs in the kernel. Dropping it takes them out.
pub struct Kernel {
    /// Before the programs: detached first.
    links: Option<Links>,
    ebpf: Ebpf,
    rung: Rung,
    scope: Scope,
    counters: PerCpuArray<MapData, Abi<Counters>>,
    accounts: Accounts,
    /// Which members this kernel has.
    pub offsets: Offsets,
}

impl Kernel {
    /// Loads the programs, attached to nothing yet, and maps their ring.
    ///
    /// # Errors
    /// [`Failure::NoBtf`], [`Failure::Btf`], [`Failure::Refused`].
    pub fn load(settings: &Settings) -> Result<(Self, Ring, InFlight), Failure> {
        let offsets = offsets::read()?;
        // The helpers that read memory by address are forbidden under lockdown=confidentiality; without them the ids
        // inside pid namespaces and the executables are absent. The lockdown file may not be mounted, so trying tells.
        let mut ebpf = Self::open(settings, offsets, true)?;
        if Links::load(&mut ebpf, settings.rung, settings.scope).is_err() {
            ebpf = Self::open(settings, offsets, false)?;
            Links::load(&mut ebpf, settings.rung, settings.scope)?;
        }
        let records = take(&mut ebpf, "RECORDS")?;
        let Map::RingBuf(records) = records else {
            return Err(unexpected("RECORDS is no ring"));
        };
        let fd = records
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(Failure::internal("duplicating the ring's descriptor"))?;
        let ring = Ring::new(fd, settings.ring_bytes).map_err(Failure::internal("mapping the ring"))?;
        let Map::Array(slots) = take(&mut ebpf, "SLOTS")? else {
            return Err(unexpected("SLOTS is no array"));
        };
        let in_flight = InFlight::new(slots.fd().as_fd()).map_err(Failure::internal("mapping the slots"))?;
        let counters =
            PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(|error| refused("the counters", &error))?;
        let accounts = Accounts::new(&mut ebpf)?;
        let (rung, scope) = (settings.rung, settings.scope);
        Ok((Self { links: None, ebpf, rung, scope, counters, accounts, offsets }, ring, in_flight))
    }

    fn open(settings: &Settings, offsets: Offsets, read_kernel: bool) -> Result<Ebpf, Failure> {
        let config = Abi(Config {
            follow: u32::from(settings.scope == Scope::Descendants),
            self_pid: settings.self_pid,
            self_pid_ns: settings.self_pid_ns,
            canary_key: settings.canary_key.cast_unsigned(),
            wake_bytes: settings.ring_bytes / 8,
            read_kernel: u32::from(read_kernel),
            command_lines: u32::from(settings.command_lines),
            process_interval_ns: Budgets::interval_ns(settings.budgets.process),
            owner_interval_ns: Budgets::interval_ns(settings.budgets.owner),
            burst: settings.budgets.burst,
            id_index_bits: super::require::id_index_bits(),
        });
        // aya-log's levels; at 0 the verifier removes the code.
        let level: u8 = match settings.log {
            KernelLog::Off => 0,
            KernelLog::Warn => 2,
            KernelLog::Debug => 4,
        };
        // The member table takes 4 MiB and is used by `exec` only.
        let members = if settings.scope == Scope::Descendants { MEMBERS } else { 1 };
        EbpfLoader::new()
            .override_global("OFFSETS", &Abi(offsets), true)
            .override_global("CONFIG", &config, true)
            .override_global("AYA_LOG_LEVEL", &level, true)
            .map_max_entries("RECORDS", settings.ring_bytes)
            .map_max_entries("MEMBERS", members)
            .load(OBJECT)
            .map_err(|error| refused("the maps", &error))
    }

    /// Attaches the hooks.
    ///
    /// # Errors
    /// [`Failure::Tracefs`], [`Failure::Refused`].
    pub fn attach(&mut self) -> Result<(), Failure> {
        self.links = Some(Links::attach(&mut self.ebpf, self.rung, self.scope)?);
        Ok(())
    }

    /// Detaches the hooks. The ring and the counters stay.
    pub fn detach(&mut self) {
        self.links = None;
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

    /// Runs of our programs that the kernel skipped so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        let misses = |name| {
            let fd = self.ebpf.program(name)?.fd().ok()?.as_fd().as_raw_fd();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            line.trim().parse::<u64>().ok()
        };
        // The first is the one that makes the record, see `hooks`.
        let mut programs = Links::programs(self.rung).map(|name| misses(name).unwrap_or_default());
        Skipped { calls: programs.next().unwrap_or_default(), halves: programs.sum() }
    }

    /// The diagnostics of the kernel program.
    ///
    /// # Errors
    /// [`Failure::Refused`] when their map is missing or cannot be polled.
    pub fn logger(&mut self) -> Result<KernelLogger, Failure> {
        let logger = EbpfLogger::init(&mut self.ebpf).map_err(|error| refused("the log", &error))?;
        let ready = logger.as_fd().try_clone_to_owned().and_then(|fd| watch(fd, Interest::READABLE));
        Ok(KernelLogger { logger, ready: ready.map_err(Failure::internal("watching the kernel log"))? })
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("links", &self.links).field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Shows what the kernel program says, through the `log` crate.
pub struct KernelLogger {
    logger: EbpfLogger<&'static dyn log::Log>,
    ready: AsyncFd<OwnedFd>,
}

impl KernelLogger {
    /// Shows messages as they come; does not end by itself.
    ///
    /// # Errors
    /// Those of the runtime's poll.
    pub async fn show(mut self) -> io::Result<()> {
        loop {
            self.ready.readable().await?.clear_ready();
            self.logger.flush();
        }
    }
}

pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, Failure> {
    ebpf.take_map(name).ok_or_else(|| unexpected("a map is missing from the kernel program"))
}

/// The embedded object is not the one this was written with: a defect of the build.
fn unexpected(what: &'static str) -> Failure {
    Failure::Internal { doing: "loading the kernel program", error: io::Error::other(what) }
}

/// aya's errors name the call in one and the reason in the next of their sources.
pub(super) fn refused(doing: &str, error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    Failure::Refused { doing: doing.to_owned(), error: text }
}

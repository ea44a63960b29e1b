//! Settings of the kernel program: what the user wants goes in, the frozen globals come out, and a digest of all of it.

use msgget_trace_ebpf::{Config, Offsets};
use uuid::Uuid;

use super::{OBJECT, require};
use crate::{
    cli::KernelLog,
    config::{Budgets, Scope},
    event::Rung,
};

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
    /// Whether uses of queues that are not there are told of.
    pub stale_ids: bool,
    /// Whether there are policies, by which calls can be left out.
    pub scoped: bool,
}

impl Settings {
    pub(super) fn config(&self, read_kernel: bool) -> Config {
        Config {
            follow: u32::from(self.scope == Scope::Descendants),
            wake_bytes: self.ring_bytes / 8,
            read_kernel: u32::from(read_kernel),
            command_lines: u32::from(self.command_lines),
            process_interval_ns: Budgets::interval_ns(self.budgets.process),
            owner_interval_ns: Budgets::interval_ns(self.budgets.owner),
            burst: self.budgets.burst,
            id_index_bits: require::id_index_bits(),
            stale_ids: u32::from(self.stale_ids),
            scoped: u32::from(self.scoped),
        }
    }

    /// aya-log's levels; at 0 the verifier removes the code.
    pub(super) const fn log_level(&self) -> u8 {
        match self.log {
            KernelLog::Off => 0,
            KernelLog::Warn => 2,
            KernelLog::Debug => 4,
        }
    }

    /// Two sets of programs with the same digest are the same programs, and were told the same.
    pub(super) fn digest(&self, offsets: &Offsets, read_kernel: bool) -> [u8; 16] {
        let told = format!("{:?} {offsets:?} {} {}", self.config(read_kernel), self.log_level(), self.rung.name());
        Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_OID, OBJECT), told.as_bytes()).into_bytes()
    }
}

//! The kernel program: calls to `msgget`, and those to `msgctl` that remove or change, enter through the hooks, [`Call`](msgget_trace_ebpf::Call) records, and before them
//! [`Context`](msgget_trace_ebpf::Context) records of who makes them, leave through [`maps::RECORDS`], and what happened on the way is counted in [`maps::COUNTERS`].
//!
//! ```text
//! hook ─► door, slot, task ─► wanted ─► budget ─► image ─► submit ─► ring
//! ```
#![no_std]
#![no_main]
#![allow(missing_docs, reason = "the macros of aya make undocumented public items")]
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "core has no stable atomics for a target without compare-and-swap; see slot.rs")]

mod budget;
mod current;
mod door;
mod hook;
mod image;
mod maps;
mod object;
mod position;
mod slot;
mod submit;
mod task;
mod wanted;

/// The verifier proves that no panic is reachable; this is what the linker asks for.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Read by the kernel: helpers marked GPL-only answer to this.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

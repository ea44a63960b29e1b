//! What judging costs: a million records of calls go through decode and detection, and the same calls through the json encoder
//! and serde_json; the times of all, and the memory that is taken, come out.
//!
//! `cargo bench -p msgget-trace --bench detect`. The calls are those of 10,000 processes in 1,000 IPC namespaces on 100,000 keys:
//! checks, creations, openings, failures and removals, so that every table is used and nearly every rule looks.

use std::{error::Error, fs, hint::black_box};

use msgget_trace::{
    detect::Engine,
    encode::{Format, Item, Sensor},
    enrich::{Clock, Host, Place, Who, cgroup::Absent},
    event::{BootTime, Event, Rung, decode::Decoded, decode::Decoder},
    policy::Matched,
};
use msgget_trace_ebpf::{ABI_X86_64, Call as Record, ENTRY_SYSCALL, FACT_NONE, Offsets, Owner, PAIRED, Position};
use uuid::Uuid;

const CALLS: u64 = 1_000_000;
const KEYS: u64 = 100_000;
const PROCESSES: u64 = 10_000;
const NAMESPACES: u64 = 1_000;
const ROUNDS: usize = 5;

/// Numbers without a pattern, the same every time (splitmix64).
fn scatter(nth: u64) -> u64 {
    let mut bits = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The `nth` record. A process stays in its namespace, and a key in one of the namespaces.
fn record(nth: u64) -> Record {
    let bits = scatter(nth);
    let key = bits % KEYS;
    let space = key % NAMESPACES;
    // Of the processes of a namespace one has a key for its own, and every eighth call on it is another's.
    let whose = if (bits >> 54).is_multiple_of(8) { bits >> 20 } else { scatter(key) };
    let process = space + NAMESPACES * (whose % (PROCESSES / NAMESPACES));
    // Most namespaces are of one user; in some there is a second one.
    let uid = 1000 + (space % 7) as u32 + u32::from(process.is_multiple_of(64));
    let id = (key / NAMESPACES) as i64;
    // Checks, exclusive creations, creations of whatever there is, openings, failures; now and then a key that is private.
    let (msgflg, ret) =
        [(0, -2), (0o3600, id), (0o1660, id), (0o600, id), (0o3600, -17), (0o1600, -13)][((bits >> 40) % 6) as usize];
    let key = if (bits >> 50).is_multiple_of(16) { 0 } else { key as i32 + 1 };
    let at = 1_000_000_000_000 + nth * 2_000;
    Record {
        header: Record::HEADER,
        enter_ns: at,
        exit_ns: at + 700,
        fact_ns: 0,
        thread_start_ns: 900_000_000_000 + process,
        process_start_ns: 900_000_000_000 + process,
        parent_start_ns: 800_000_000_000,
        exec_id: process,
        parent_exec_id: 2,
        cgroup_id: 100 + process % 50,
        capabilities: 0,
        ret,
        before: Position::default(),
        after: Position::default(),
        owner: Owner::default(),
        key,
        msgflg,
        pid: 10_000 + process as u32,
        tid: 10_000 + process as u32,
        ppid: 1,
        ns_pid: 10_000 + process as u32,
        ns_tid: 10_000 + process as u32,
        ns_ppid: 1,
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid: uid,
        egid: uid,
        loginuid: uid,
        sessionid: 3,
        mnt_ns: 4_026_531_832,
        pid_ns: 4_026_531_836,
        user_ns: 4_026_531_837,
        ipc_ns: 4_026_540_000 + space as u32,
        cpu: 0,
        pairing: PAIRED,
        fact: FACT_NONE,
        queue_mode: 0,
        abi: ABI_X86_64,
        entry: ENTRY_SYSCALL,
        number: 68,
        ipc_call: 0,
        seccomp: 0,
        ptrace: 0,
        witness: 0,
        queue_key: 0,
        comm: *b"ipcworker\0\0\0\0\0\0\0",
        nodename: *b"billing-7c9f6d5b",
    }
}

/// Resident memory, in MiB (proc_pid_status(5)).
fn resident(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line in /proc/self/status")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no number in /proc/self/status")?.parse()?;
    Ok(kib / 1024.0)
}

/// What this thread has used of a processor, in ns: other than the time on the wall it does not count what others use.
fn used() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in one such structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn ns_a_call(start: f64) -> f64 {
    (used() - start) / CALLS as f64
}

fn main() -> Result<(), Box<dyn Error>> {
    let offsets: Result<_, std::convert::Infallible> = Offsets::resolve(|_, _, _| Ok(8));
    let decoder = Decoder {
        ring: Uuid::from_u128(7),
        rung: Rung::TpBtf,
        offsets: offsets?,
        attached: BootTime(1),
        detached: None,
    };
    let host = Host { id: None, boot_id: None, name: Some("bench".into()), kernel: None };
    let sensor = Sensor { run: Uuid::from_u128(1), host, clock: Clock::new(), rung: Rung::TpBtf };
    let place = Place { cgroup: Err(Absent::Gone), container: None };
    let who = &Who { place, user: None, effective_user: None, group: None, effective_group: None };
    let json = Format::named("json").ok_or("no format json")?;

    // Records are made as they are needed, as a ring would hold them; what making costs is measured, too, and taken off.
    let decoded = |nth| match decoder.decode(nth * 360, record(nth).as_bytes()) {
        Ok(Decoded::Event(event)) => Ok(event),
        _ => Err("a record of a call was not decoded as one"),
    };
    println!(
        "{:<8}{:>10}{:>10}{:>10}{:>12}{:>12}{:>10}",
        "round", "decode", "detect", "both", "our json", "serde_json", "findings"
    );
    for round in 0..ROUNDS {
        let start = used();
        (0..CALLS).for_each(|nth| _ = black_box(record(nth)));
        let made = ns_a_call(start);

        let start = used();
        for nth in 0..CALLS {
            black_box(decoded(nth)?);
        }
        let decode = ns_a_call(start) - made;

        let before = resident("VmRSS")?;
        let mut engine = Engine::new();
        let mut findings = 0;
        let start = used();
        for nth in 0..CALLS {
            findings += engine.observe(&decoded(nth)?).findings.len();
        }
        let both = ns_a_call(start) - made;
        let after = resident("VmRSS")?;

        let mut out = Vec::with_capacity(1 << 16);
        let (mut ours, mut theirs) = (0.0, 0.0);
        const LINES: u64 = 20_000;
        for nth in 0..LINES {
            let Event::Call(call) = decoded(nth)? else { continue };
            let tags = Engine::tags(&call.clone().into());
            out.clear();
            let start = used();
            json.line(&Item::Call { call: &call, who, tags, policies: Matched::NONE }, &sensor, nth, &mut out);
            ours += used() - start;
            let value: serde_json::Value = serde_json::from_slice(&out)?;
            out.clear();
            let start = used();
            serde_json::to_writer(&mut out, &value)?;
            theirs += used() - start;
        }
        let (ours, theirs) = (ours / LINES as f64, theirs / LINES as f64);
        println!("{round:<8}{decode:>10.0}{:>10.0}{both:>10.0}{ours:>12.0}{theirs:>12.0}{findings:>10}", both - decode);
        if round == 0 {
            println!(
                "        memory: {before:.1} MiB before, {after:.1} MiB after, {:.1} MiB at most",
                resident("VmHWM")?
            );
        }
        drop(black_box(engine));
    }
    println!("all in ns a call, on one core");
    Ok(())
}

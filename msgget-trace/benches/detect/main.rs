//! What judging costs: a million records of calls go through decode and detection, and the same calls through the json encoder
//! and serde_json; the times of all, and the memory that is taken, come out.
//!
//! `cargo bench -p msgget-trace --bench detect`. The calls are those of 10,000 processes in 1,000 IPC namespaces on 100,000 keys:
//! checks, creations, openings, failures and removals, each of which returns what a kernel would, so that every table is used and
//! nearly every rule looks.

#[path = "../common/record.rs"]
mod record;

use std::{error::Error, fs, hint::black_box};

use msgget_trace::{
    detect::Engine,
    encode::{Format, Item, Sensor},
    enrich::{Clock, Host, Place, Who, cgroup::Absent},
    event::{Rung, decode::Decoded},
    policy::Matched,
};
use msgget_trace_ebpf::Call as Record;
use record::{decoder, record};
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

/// The queues there are. What its calls return is what a kernel would have returned.
struct World {
    /// By key.
    queues: Vec<Option<i32>>,
    /// The id given out next, by namespace.
    next: Vec<i32>,
    nth: u64,
}

impl World {
    fn new() -> Self {
        Self { queues: vec![None; KEYS as usize], next: vec![0; NAMESPACES as usize], nth: 0 }
    }

    /// The next record.
    fn record(&mut self) -> Record {
        let bits = scatter(self.nth);
        let key = bits % KEYS;
        let space = key % NAMESPACES;
        // Of the processes of a namespace one has a key for its own, and every eighth call on it is another's.
        let whose = if (bits >> 54).is_multiple_of(8) { bits >> 20 } else { scatter(key) };
        let process = space + NAMESPACES * (whose % (PROCESSES / NAMESPACES));
        // Most namespaces are of one user; in some there is a second one.
        let uid = 1000 + (space % 7) as u32 + u32::from(process.is_multiple_of(64));
        let ids = Record {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid: uid,
            egid: uid,
            loginuid: uid,
            ..record(self.nth * 2_000)
        };
        let pid = 10_000 + process as u32;
        let caller = Record {
            process_start_ns: ids.process_start_ns + process,
            exec_id: process,
            cgroup_id: 100 + process % 50,
            pid,
            tid: pid,
            ns_pid: pid,
            ns_tid: pid,
            ipc_ns: 4_026_540_000 + space as u32,
            ..ids
        };
        self.nth += 1;
        let queue = &mut self.queues[key as usize];
        let mut new = || {
            let id = &mut self.next[space as usize];
            *id += 1;
            *id
        };
        let (choice, name) = ((bits >> 40) % 8, key as i32 + 1);
        let (key, msgflg, ret) = match *queue {
            _ if (bits >> 50).is_multiple_of(64) => (0, 0o600, new().into()),
            None if choice < 4 => (name, 0, -2),
            None => (name, 0o3600, i64::from(*queue.insert(new()))),
            Some(id) if choice == 0 => {
                *queue = None;
                return Record { header: Record::CONTROL, number: 71, key: id, msgflg: 0, ret: 0, ..caller };
            }
            Some(_) if choice == 1 => (name, 0o3600, -17),
            Some(id) => (name, 0o600, id.into()),
        };
        Record { key, msgflg, ret, ..caller }
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
    let decoder = decoder()?;
    let host = Host { id: None, boot_id: None, name: Some("bench".into()), kernel: None };
    let sensor = Sensor { run: Uuid::from_u128(1), host, clock: Clock::new(), rung: Rung::TpBtf };
    let place = Place { cgroup: Err(Absent::Gone), container: None };
    let json = Format::named("json").ok_or("no format json")?;

    // Records are made as they are needed, as a ring would hold them; what making costs is measured, too, and taken off.
    let decoded = |world: &mut World| match decoder.decode(world.nth * 360, world.record().as_bytes()) {
        Ok(Decoded::Event(event)) => Ok(event),
        _ => Err("a record of a call was not decoded as one"),
    };
    println!(
        "{:<8}{:>10}{:>10}{:>10}{:>12}{:>12}{:>10}",
        "round", "decode", "detect", "both", "our json", "serde_json", "findings"
    );
    for round in 0..ROUNDS {
        let (mut world, start) = (World::new(), used());
        (0..CALLS).for_each(|_| _ = black_box(world.record()));
        let made = ns_a_call(start);

        let (mut world, start) = (World::new(), used());
        for _ in 0..CALLS {
            black_box(decoded(&mut world)?);
        }
        let decode = ns_a_call(start) - made;

        let before = resident("VmRSS")?;
        let mut engine = Engine::new();
        let mut findings = 0;
        let (mut world, start) = (World::new(), used());
        for _ in 0..CALLS {
            findings += engine.observe(&decoded(&mut world)?).findings.len();
        }
        let both = ns_a_call(start) - made;
        let after = resident("VmRSS")?;

        let mut out = Vec::with_capacity(1 << 16);
        let (mut ours, mut theirs) = (0.0, 0.0);
        const LINES: u64 = 20_000;
        let mut world = World::new();
        for nth in 0..LINES {
            let event = decoded(&mut world)?;
            let who =
                Who { place: place.clone(), user: None, effective_user: None, group: None, effective_group: None };
            let item = Item::of(&event, &who, Engine::tags(&event), Matched::NONE);
            out.clear();
            let start = used();
            json.line(&item, &sensor, nth, &mut out);
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

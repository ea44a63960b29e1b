//! Any call, control, use, aggregate and clock that there can be.

use std::sync::Arc;

use proptest::{array::uniform3, collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

use crate::{
    enrich::Clock,
    event::{
        Abi, Aggregate, Attributed, BootTime, Call, CallId, Caller, Command, Control, Counts, Device, Door, Entry,
        Errno, Ids, Image, ImageId, MsgFlags, Operation, Outcome, Payer, Queue, Source, Use,
    },
};

/// Moments that neither clock overflows at.
pub(super) struct Moments;

impl Moments {
    fn one() -> impl Strategy<Value = BootTime> {
        (0..1_u64 << 60).prop_map(BootTime)
    }

    pub(super) fn two() -> impl Strategy<Value = (BootTime, BootTime)> {
        (Self::one(), Self::one())
    }
}

/// Clocks that may have been set.
pub(super) fn clocks() -> impl Strategy<Value = Clock> {
    let moved = prop_oneof![Just(0), -(1_i64 << 50)..1 << 50];
    (0..1_i64 << 61, moved).prop_map(|(offset, moved)| Clock::recorded(offset, moved))
}

fn ids() -> impl Strategy<Value = Ids> {
    any::<[u32; 3]>().prop_map(|[pid, tid, ppid]| Ids { pid, tid, ppid })
}

/// What a record can hold of an image.
fn images() -> impl Strategy<Value = Image> {
    let argument = vec(1_u8.., 0..8).prop_map(|argument| [&argument[..], b"\0"].concat());
    let arguments = option::of(vec(argument, 0..4).prop_map(|arguments| arguments.concat()));
    let path = option::of(vec(1_u8.., 0..40));
    let device = any::<Option<(u32, u32)>>().prop_map(|device| device.map(|(major, minor)| Device { major, minor }));
    (path, any::<bool>(), any::<Option<u64>>(), device, arguments, any::<bool>()).prop_map(
        |(path, path_cut, inode, device, arguments, arguments_cut)| Image {
            id: ImageId { pid: 0, started: BootTime(0), exec_id: 0 },
            path,
            path_cut,
            inode,
            device,
            arguments,
            arguments_cut,
        },
    )
}

fn callers() -> impl Strategy<Value = Caller> {
    let times = uniform3(option::of(Moments::one()));
    let programs = (any::<[Option<u64>; 2]>(), option::of(images()), option::of(images()));
    let tasks = (ids(), option::of(ids()), times, programs);
    let facts = (any::<[Option<u32>; 9]>(), any::<Option<u64>>(), any::<Option<bool>>(), any::<[Option<u32>; 4]>());
    let names = (any::<u64>(), any::<[u8; 15]>(), any::<Option<[u8; 16]>>(), any::<u32>());
    (tasks, facts, names).prop_map(|(tasks, facts, names)| {
        let (host, namespaced, [thread_started, process_started, parent_started], programs) = tasks;
        let ([exec_id, parent_exec_id], image, parent) = programs;
        let ([uid, euid, gid, egid, suid, fsuid, login_uid, session, seccomp], capabilities, traced, namespaces) =
            facts;
        let [user_ns, mnt_ns, pid_ns, ipc_ns] = namespaces;
        let (cgroup_id, name, nodename, cpu) = names;
        let mut comm = [0; 16];
        comm[..15].copy_from_slice(&name);
        // Nobody's image is known whose start is not.
        let of = |image: Option<Image>, pid, started: Option<BootTime>, exec_id: Option<u64>| {
            let id = ImageId { pid, started: started?, exec_id: exec_id? };
            Some(Arc::new(Image { id, ..image? }))
        };
        Caller {
            cpu,
            host,
            namespaced,
            thread_started,
            process_started,
            parent_started,
            uid,
            euid,
            gid,
            egid,
            suid,
            fsuid,
            capabilities,
            login_uid,
            session,
            seccomp,
            traced,
            exec_id,
            parent_exec_id,
            image: of(image, host.pid, process_started, exec_id),
            parent_image: of(parent, host.ppid, parent_started, parent_exec_id),
            user_ns,
            mnt_ns,
            pid_ns,
            ipc_ns,
            cgroup_id,
            comm,
            nodename,
        }
    })
}

fn queues() -> impl Strategy<Value = Queue> {
    (any::<[u32; 4]>(), 0..0o1000_u16, any::<Option<u64>>()).prop_map(|([uid, gid, cuid, cgid], mode, age)| Queue {
        uid,
        gid,
        cuid,
        cgid,
        mode,
        age,
    })
}

fn doors() -> impl Strategy<Value = Door> {
    let abi = select(&[Abi::X86_64, Abi::I386, Abi::X32][..]);
    let entry = select(&[Entry::Syscall, Entry::Int80From64, Entry::From32][..]);
    (abi, entry, any::<u32>(), any::<Option<u32>>()).prop_map(|(abi, entry, number, ipc_call)| Door {
        abi,
        entry,
        number,
        ipc_call,
    })
}

fn call_ids() -> impl Strategy<Value = CallId> {
    any::<(u128, u64)>().prop_map(|(ring, position)| CallId { ring: Uuid::from_u128(ring), position })
}

fn sources() -> impl Strategy<Value = Option<Source>> {
    option::of(select(&[Source::Kernel, Source::Flags, Source::Counters, Source::IpcStat][..]))
}

/// An outcome, and the result that goes with it.
fn outcomes(others: &'static [Outcome]) -> impl Strategy<Value = (Outcome, i64)> {
    let failed = (1..4096_u16).prop_map(|errno| (Outcome::Failed(Errno(errno)), -i64::from(errno)));
    prop_oneof![failed, (select(others), any::<i64>())]
}

pub(super) fn calls() -> impl Strategy<Value = Call> {
    use Outcome::{Ambiguous, Created, NotExecuted, Opened, Unpaired};
    let asked = (call_ids(), callers(), any::<i32>(), any::<i32>(), doors());
    let came = (outcomes(&[Created, Opened, Ambiguous, Unpaired, NotExecuted]), sources(), option::of(queues()));
    let times = (option::of(Moments::one()), option::of(Moments::one()), 0..1_u64 << 40, Moments::one());
    (asked, came, times).prop_map(|(asked, came, (linearised, entered, length, left))| {
        let (id, caller, key, flags, door) = asked;
        let ((outcome, result), source, queue) = came;
        let left = entered.map_or(left, |entered| BootTime(entered.0 + length));
        Call {
            id,
            caller,
            key,
            flags: MsgFlags(flags),
            result,
            outcome,
            source,
            positions: None,
            rivals: None,
            linearised,
            queue,
            door,
            witness: false,
            entered,
            left,
        }
    })
}

pub(super) fn controls() -> impl Strategy<Value = Control> {
    use Outcome::{Changed, NotExecuted, Removed, Unpaired};
    let outcomes = outcomes(&[Removed, Changed, Unpaired, NotExecuted]);
    let command = select(&[Command::Remove, Command::Change][..]);
    let rest = (command, outcomes, sources(), any::<Option<i32>>(), option::of(doors()), any::<(i32, i32)>());
    (calls(), rest).prop_map(|(call, (command, (outcome, result), source, key, door, (msqid, cmd)))| Control {
        id: call.id,
        caller: call.caller,
        msqid,
        cmd,
        command,
        result,
        outcome,
        source,
        linearised: call.linearised,
        queue: call.queue,
        key,
        door,
        entered: call.entered,
        left: call.left,
    })
}

pub(super) fn uses() -> impl Strategy<Value = Use> {
    let operation = select(&[Operation::Send, Operation::Receive][..]);
    let errno = select(&[Errno::EIDRM, Errno::EINVAL][..]);
    let asked = (any::<i32>(), any::<u64>(), any::<Option<i64>>(), any::<i32>());
    (calls(), operation, errno, sources(), asked).prop_map(|(call, operation, errno, source, asked)| {
        let (msqid, msgsz, msgtyp, msgflg) = asked;
        Use {
            id: call.id,
            caller: call.caller,
            operation,
            msqid,
            msgsz,
            msgtyp,
            msgflg,
            errno,
            source,
            door: call.door,
            left: call.left,
        }
    })
}

pub(super) fn aggregates() -> impl Strategy<Value = Aggregate> {
    let payer = prop_oneof![
        Just(Payer::Owner),
        (any::<u32>(), option::of(Moments::one())).prop_map(|(pid, started)| Payer::Process { pid, started }),
    ];
    let times = (Moments::one(), Moments::one());
    let facts = (vec(any::<i32>(), 0..4), any::<[u8; 15]>(), any::<(Option<u32>, u64, Option<u32>)>());
    let attributed = (payer, times, facts).prop_map(|(payer, (first, last), (sample_keys, name, facts))| {
        let mut comm = [0; 16];
        // What stands behind the NUL of a name is told by nobody.
        let name = crate::event::before_nul(&name);
        comm[..name.len()].copy_from_slice(name);
        let (euid, cgroup_id, ipc_ns) = facts;
        Attributed { payer, first, last, sample_keys, comm, euid, cgroup_id, ipc_ns }
    });
    let words = ["created", "opened", "failed", "ambiguous", "unpaired", "not_executed"];
    let counts = proptest::array::uniform6(0..1_u64 << 50).prop_map(move |counts| {
        words.iter().zip(counts).fold(Counts::default(), |sum, (word, count)| sum.with(word, count).unwrap())
    });
    (Moments::one(), counts, option::of(attributed)).prop_map(|(at, counts, attributed)| Aggregate {
        at,
        counts,
        attributed,
    })
}

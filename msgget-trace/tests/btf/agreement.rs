//! This kernel's BTF goes in; our answers and those of btf-rs, which shares no code with ours, come out equal.

use msgget_trace::kernel::btf::{Btf, BtfError, Field, Shape};

// This kernel, as btf-rs reads it.

/// What the sensor reads, and some more.
pub(crate) const KERNEL_QUESTIONS: &[(&str, &str)] = &[
    (
        "task_struct",
        "real_parent group_leader tgid pid start_boottime self_exec_id nsproxy \
        thread_pid cred real_cred loginuid loginuid.val sessionid mm signal \
        seccomp.mode ptrace comm comm[0] flags thread_info.status thread_info.flags \
        no_such_member comm[4096]",
    ),
    ("nsproxy", "uts_ns ipc_ns mnt_ns pid_ns_for_children net_ns cgroup_ns"),
    ("ipc_namespace", "ns.inum ns.ns_id ids ids[1] ids[1].seq ids[1].last_idx ids[1].in_use user_ns"),
    ("ipc_ids", "seq last_idx next_id in_use"),
    ("mnt_namespace", "ns.inum"),
    ("pid_namespace", "ns.inum level"),
    ("net", "ns.inum"),
    ("cgroup_namespace", "ns.inum"),
    ("user_namespace", "ns.inum level"),
    ("uts_namespace", "ns.inum name name.nodename"),
    ("new_utsname", "nodename"),
    ("pid", "level numbers"),
    ("upid", "nr ns"),
    (
        "cred",
        "uid uid.val gid suid sgid euid euid.val egid fsuid fsgid cap_effective \
        cap_effective.val user_ns",
    ),
    ("mm_struct", "exe_file"),
    ("file", "f_path f_path.mnt f_path.dentry f_inode"),
    ("inode", "i_ino i_sb"),
    ("super_block", "s_dev"),
    ("dentry", "d_parent d_name d_name.name d_name.len"),
    ("vfsmount", "mnt_root"),
    ("mount", "mnt mnt_parent mnt_mountpoint"),
    ("kern_ipc_perm", "id key uid uid.val gid cuid cgid mode seq"),
    ("msg_queue", "q_perm q_perm.id q_perm.seq"),
    ("signal_struct", "live live.counter"),
    ("pt_regs", "di si orig_ax regs[8] syscallno"),
    ("no_such_struct", "pid"),
];

/// The BTF of this kernel; none is a failure in CI and a loud notice elsewhere.
pub(crate) fn kernel_btf() -> Option<Vec<u8>> {
    let path = "/sys/kernel/btf/vmlinux";
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("{path}: {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED: this test needs {path}: {error}");
            if let Some(skips) = std::env::var_os("MSGGET_TRACE_SKIPS") {
                let line = format!("btf: needs {path}: {error}\n");
                let file = std::fs::OpenOptions::new().append(true).create(true).open(skips);
                std::io::Write::write_all(&mut file.unwrap(), line.as_bytes()).unwrap();
            }
            None
        }
    }
}

/// The same questions put to btf-rs, by code that shares nothing with ours.
mod oracle {
    use btf_rs::{Btf, BtfType, Type};

    /// Offset and size in bytes, and the size of an element of an array.
    pub(crate) type Answer = Option<(u64, usize, Option<usize>)>;

    fn plain(btf: &Btf, of: &dyn BtfType) -> Type {
        let mut found = btf.resolve_chained_type(of).unwrap();
        while let Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) | Type::Restrict(_) | Type::TypeTag(_) = &found
        {
            found = btf.resolve_chained_type(found.as_btf_type().unwrap()).unwrap();
        }
        found
    }

    pub(crate) fn size(btf: &Btf, of: &Type) -> usize {
        match of {
            Type::Int(it) => it.size(),
            Type::Enum(it) => it.size(),
            Type::Enum64(it) => it.size(),
            Type::Float(it) => it.size(),
            Type::Struct(it) | Type::Union(it) => it.size(),
            Type::Ptr(_) => size_of::<u64>(),
            Type::Array(it) => it.len() * size(btf, &plain(btf, it)),
            other => panic!("{} has no size", other.name()),
        }
    }

    fn member(btf: &Btf, within: &Type, name: &str) -> Option<(u64, Type)> {
        let (Type::Struct(within) | Type::Union(within)) = within else {
            return None;
        };
        within.members.iter().find_map(|it| {
            let (bits, of) = (u64::from(it.bit_offset()), plain(btf, it));
            match btf.resolve_name(it).unwrap().as_str() {
                "" => member(btf, &of, name).map(|(inner, of)| (bits + inner, of)),
                own => (own == name).then_some((bits, of)),
            }
        })
    }

    pub(crate) fn field(btf: &Btf, structure: &str, path: &str) -> Answer {
        let found = btf.resolve_types_by_name(structure).ok()?;
        let mut at = found.into_iter().find(|it| matches!(it, Type::Struct(_) | Type::Union(_)))?;
        let mut bits = 0;
        for step in path.replace('[', ".[").split('.') {
            let next = match (step.strip_prefix('['), &at) {
                (Some(element), Type::Array(array)) => {
                    let element: usize = element.trim_end_matches(']').parse().unwrap();
                    let of = plain(btf, array);
                    (element < array.len()).then(|| ((element * size(btf, &of) * 8) as u64, of))
                }
                _ => member(btf, &at, step),
            };
            let (more, of) = next?;
            bits += more;
            at = of;
        }
        let elem_size = match &at {
            Type::Array(array) => Some(size(btf, &plain(btf, array))),
            _ => None,
        };
        Some((bits / 8, size(btf, &at), elem_size))
    }

    pub(crate) fn function_params(btf: &Btf, name: &str) -> Option<Vec<String>> {
        let found = btf.resolve_types_by_name(name).ok()?;
        let function = found.into_iter().find_map(|it| match it {
            Type::Func(function) => Some(function),
            _ => None,
        })?;
        let Type::FuncProto(prototype) = btf.resolve_chained_type(&function).unwrap() else {
            panic!("{name} has no prototype");
        };
        let names = prototype.parameters.iter().map(|it| btf.resolve_name(it).unwrap());
        Some(names.collect())
    }
}

fn as_oracle(answer: Result<Field, BtfError>) -> oracle::Answer {
    match answer {
        Ok(Field { offset, size, shape }) => {
            let elem_size = match shape {
                Shape::Array { elem_size } => Some(elem_size as usize),
                _ => None,
            };
            Some((offset.into(), size as usize, elem_size))
        }
        Err(error) if error.is_absent() => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn answers_as_btf_rs_does_on_this_kernel() {
    let Some(bytes) = kernel_btf() else { return };
    let (ours, theirs) = (Btf::parse(&bytes).unwrap(), btf_rs::Btf::from_bytes(&bytes).unwrap());
    let (mut present, mut absent) = (0, Vec::new());
    for (structure, paths) in KERNEL_QUESTIONS {
        for path in paths.split_whitespace() {
            let answer = as_oracle(ours.field(structure, path));
            assert_eq!(answer, oracle::field(&theirs, structure, path), "{structure}.{path}");
            match answer {
                Some(_) => present += 1,
                None => absent.push(format!("{structure}.{path}")),
            }
        }
    }
    eprintln!("{present} answers alike; absent on this kernel: {}", absent.join(" "));
    assert!(present >= 75, "only {present}");
    for name in ["no_such_struct.pid", "task_struct.no_such_member", "task_struct.comm[4096]"] {
        assert!(absent.iter().any(|it| it == name));
    }
    for name in ["ipcget", "security_msg_queue_associate", "newque", "freeque", "no_such_function"] {
        let params = ours.function_params(name).ok();
        let params = params.map(|it| it.into_iter().map(str::to_owned).collect());
        assert_eq!(params, oracle::function_params(&theirs, name), "{name}");
    }
    assert_eq!(ours.function_params("ipcget").unwrap(), ["ns", "ids", "ops", "params"]);
}

/// Not only what the sensor reads: the members of every thirtieth structure of this kernel.
#[test]
fn answers_as_btf_rs_does_at_large() {
    use btf_rs::{BtfType, Type};

    let Some(bytes) = kernel_btf() else { return };
    let (ours, theirs) = (Btf::parse(&bytes).unwrap(), btf_rs::Btf::from_bytes(&bytes).unwrap());
    let (mut fields, mut bitfields, mut ambiguous, mut seen) = (0, 0, 0, 0);
    let types = (1..).map_while(|id| theirs.resolve_type_by_id(id).ok());
    for of in types {
        let (Type::Struct(structure) | Type::Union(structure)) = &of else {
            continue;
        };
        let name = theirs.resolve_name(structure).unwrap();
        seen += 1;
        if name.is_empty() || seen % 30 != 0 {
            continue;
        }
        for member in &structure.members {
            let path = theirs.resolve_name(member as &dyn BtfType).unwrap();
            match ours.field(&name, &path) {
                _ if path.is_empty() => {}
                Err(BtfError::Ambiguous(_)) => ambiguous += 1,
                Err(BtfError::Bitfield(_)) => {
                    let bitfield = member.bitfield_size().unwrap_or(0) != 0 || member.bit_offset() % 8 != 0;
                    assert!(bitfield, "{name}.{path}");
                    bitfields += 1;
                }
                answer => {
                    assert_eq!(as_oracle(answer), oracle::field(&theirs, &name, &path), "{name}.{path}");
                    fields += 1;
                }
            }
        }
    }
    eprintln!("{fields} answers alike; {bitfields} bitfields, {ambiguous} ambiguous");
    assert!(fields > 1000 && bitfields > 10 && ambiguous * 50 < fields);
}

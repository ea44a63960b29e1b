//! What enters: BTF of this kernel, BTF made here, and bytes made to break the parser. What leaves: proof that
//! `kernel::btf` answers as an independent reader does, refuses what has no exact answer, and always comes to an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::unnecessary_wraps, reason = "expected answers are written as answers")]

use std::time::{Duration, Instant};

use msgget_trace::kernel::btf::{Btf, BtfError, Field, Shape};
use proptest::prelude::*;

/// A small writer of BTF, in the words of `include/uapi/linux/btf.h`.
struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const KIND_FLAG: u32 = 1 << 31;

impl Builder {
    fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            count: 0,
        }
    }

    fn string(&mut self, string: &str) -> u32 {
        if string.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(string.as_bytes());
        self.strings.push(0);
        u32::try_from(at).unwrap()
    }

    /// Adds a type and returns its id.
    fn add(&mut self, kind: u32, name: &str, vlen: u32, size_or_type: u32, data: &[u32]) -> u32 {
        let name = self.string(name);
        let info = kind << 24 | vlen; // A kind may come with KIND_FLAG's bit, see `flagged`.
        self.types.extend([name, info, size_or_type]);
        self.types.extend(data);
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, size: u32) -> u32 {
        self.add(INT, name, 0, size, &[size * 8])
    }

    fn pointer(&mut self, to: u32) -> u32 {
        self.add(PTR, "", 0, to, &[])
    }

    fn array(&mut self, elem: u32, len: u32) -> u32 {
        self.add(ARRAY, "", 0, 0, &[elem, elem, len])
    }

    /// A struct or union of members `(name, type, offset word)`.
    fn aggregate(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> = members
            .iter()
            .flat_map(|(name, type_id, offset)| [self.string(name), *type_id, *offset])
            .collect();
        self.add(kind, name, members.len().try_into().unwrap(), size, &words)
    }

    /// The same with the kind flag, so that offset words are `width << 24 | bits`.
    fn flagged(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let info_at = self.types.len() + 1;
        let id = self.aggregate(STRUCT, name, size, members);
        self.types[info_at] |= KIND_FLAG;
        id
    }

    fn function(&mut self, name: &str, params: &[(&str, u32)]) -> u32 {
        let words: Vec<u32> = params
            .iter()
            .flat_map(|(name, type_id)| [self.string(name), *type_id])
            .collect();
        let len = params.len().try_into().unwrap();
        let prototype = self.add(FUNC_PROTO, "", len, 0, &words);
        self.add(FUNC, name, 1, prototype, &[])
    }

    fn build(&self) -> Vec<u8> {
        self.build_with(24, &[])
    }

    /// With a header of this length, and the layout section of Linux 7.1 if the header has room to name it.
    fn build_with(&self, header_len: u32, layout: &[[u8; 4]]) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let layout = layout.concat();
        let [types_len, layout_len, strings_len] =
            [types.len(), layout.len(), self.strings.len()].map(|len| u32::try_from(len).unwrap());
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let strings_off = types_len + layout_len;
        for word in [
            header_len,
            0,
            types_len,
            strings_off,
            strings_len,
            types_len,
            layout_len,
        ] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(header_len as usize, 0);
        [bytes, types, layout, self.strings.clone()].concat()
    }
}

fn field_in(builder: &Builder, structure: &str, path: &str) -> Result<Field, BtfError> {
    Btf::parse(&builder.build())?.field(structure, path)
}

fn scalar(offset: u32, size: u32) -> Result<Field, BtfError> {
    let shape = Shape::Scalar;
    Ok(Field { offset, size, shape })
}

fn parse_error(bytes: &[u8]) -> BtfError {
    Btf::parse(bytes).err().expect("these bytes are to be refused")
}

/// One of everything: what the unit tests look at and the fuzz tests damage.
fn sample() -> Builder {
    let mut b = Builder::new();
    let int = b.int("int", 4);
    let u64 = b.int("unsigned long", 8);
    let byte = b.int("char", 1);
    let ptr = b.pointer(0);
    let kuid = b.aggregate(STRUCT, "", 4, &[("val", int, 0)]);
    let kuid = b.add(TYPEDEF, "kuid_t", 0, kuid, &[]);
    let kuid_const = b.add(10, "", 0, kuid, &[]); // const
    let kuid_volatile = b.add(9, "", 0, kuid_const, &[]);
    let kuid_tagged = b.add(18, "rcu", 0, kuid_volatile, &[]); // type tag
    let comm = b.array(byte, 16);
    let ids = b.aggregate(STRUCT, "ipc_ids", 16, &[("in_use", int, 0), ("seq", int, 64)]);
    let ids_of_3 = b.array(ids, 3);
    let flexible = b.array(ids, 0);
    let grid = b.array(ids_of_3, 2);
    let deep = b.aggregate(UNION, "", 8, &[("whole", u64, 0), ("low", int, 0)]);
    let anonymous = b.aggregate(STRUCT, "", 16, &[("head", u64, 0), ("", deep, 64)]);
    let state = b.add(6, "state", 1, 4, &[0, 7]); // enum of one value
    let wide = b.add(19, "wide", 1, 8, &[0, 7, 7]); // enum64
    let float = b.add(16, "double", 0, 8, &[]);
    b.add(FWD, "task", 0, 0, &[]);
    b.add(FWD, "only_forward", 0, 0, &[]);
    b.aggregate(
        STRUCT,
        "task",
        320,
        &[
            ("pid", int, 0),
            ("cred", ptr, 64),
            ("loginuid", kuid_tagged, 128),
            ("comm", comm, 160),
            ("", anonymous, 320),
            ("ids", ids_of_3, 448),
            ("grid", grid, 832),
            ("state", state, 1600),
            ("wide", wide, 1664),
            ("float", float, 1728),
            ("more", flexible, 2560),
        ],
    );
    b.flagged(
        "flags",
        8,
        &[("plain", int, 0), ("bit", int, 1 << 24 | 32), ("odd", int, 33)],
    );
    b.function("ipcget", &[("ns", ptr), ("ids", ptr), ("params", ptr)]);
    b.function("printk", &[("fmt", ptr), ("", 0)]);
    let var = b.add(14, "variable", 0, int, &[0]);
    b.add(15, ".data", 1, 4, &[var, 0, 4]); // section
    b.add(17, "tag", 0, var, &[u32::MAX]); // declaration tag
    b.add(11, "", 0, ptr, &[]); // restrict
    b
}

const SAMPLE_QUESTIONS: &[(&str, &str)] = &[
    ("task", "pid loginuid.val comm[3] low ids[2].seq grid[1] more"),
    ("flags", "plain bit odd"),
    ("ipc_ids", "seq"),
];

#[test]
fn finds_members_of_every_shape() {
    let bytes = sample().build();
    let btf = Btf::parse(&bytes).unwrap();
    let field = |path| btf.field("task", path);
    let shaped = |offset, size, shape| Ok(Field { offset, size, shape });

    assert_eq!(field("pid"), scalar(0, 4));
    assert_eq!(field("cred"), shaped(8, 8, Shape::Pointer));
    assert_eq!(
        field("loginuid"),
        shaped(16, 4, Shape::Aggregate),
        "behind tag, volatile, const, typedef"
    );
    assert_eq!(field("loginuid.val"), scalar(16, 4));
    assert_eq!(field("comm"), shaped(20, 16, Shape::Array { elem_size: 1 }));
    assert_eq!(field("comm[15]"), scalar(35, 1));
    assert_eq!(field("head"), scalar(40, 8), "in an anonymous struct");
    assert_eq!(field("low"), scalar(48, 4), "in a union in it");
    assert_eq!(field("ids"), shaped(56, 48, Shape::Array { elem_size: 16 }));
    assert_eq!(field("ids[1]"), shaped(72, 16, Shape::Aggregate));
    assert_eq!(field("ids[2].seq"), scalar(96, 4));
    assert_eq!(field("grid"), shaped(104, 96, Shape::Array { elem_size: 48 }));
    assert_eq!(field("grid[1]"), shaped(152, 48, Shape::Array { elem_size: 16 }));
    assert_eq!(field("state"), scalar(200, 4));
    assert_eq!(field("wide"), scalar(208, 8));
    assert_eq!(field("float"), scalar(216, 8));
    assert_eq!(
        field("more"),
        shaped(320, 0, Shape::Array { elem_size: 16 }),
        "flexible"
    );
}

#[test]
fn absence_is_told_from_errors() {
    let bytes = sample().build();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(btf.has_struct("task") && btf.has_struct("ipc_ids"));
    assert!(
        !btf.has_struct("only_forward"),
        "a forward declaration is no definition"
    );
    assert!(
        !btf.has_struct("tas") && !btf.has_struct("tasks"),
        "names are compared whole"
    );
    for path in [
        "pi",
        "pids",
        "",
        "pid.val",
        "ids[3]",
        "ids[-1]",
        "grid[1][2]",
        "pid[0]",
        "more[0]",
        "loginuid.",
        "val",
    ] {
        let error = btf.field("task", path).unwrap_err();
        assert!(
            matches!(error, BtfError::NoMember(_)) && error.is_absent(),
            "{path}: {error}"
        );
    }
    for error in [
        btf.field("only_forward", "pid").unwrap_err(),
        btf.function_params("ipc").unwrap_err(),
    ] {
        assert!(matches!(error, BtfError::NoType(_)) && error.is_absent(), "{error}");
    }
    let through = btf.field("task", "cred.uid").unwrap_err();
    assert!(matches!(through, BtfError::ThroughPointer(_)) && !through.is_absent());
    assert_eq!(
        through.to_string(),
        "task.cred.uid, at uid: behind a pointer, which has to be loaded first"
    );
}

#[test]
fn names_parameters_of_functions() {
    let mut b = sample();
    let int = 1;
    b.function("twice", &[("a", int)]);
    b.function("twice", &[("a", int)]);
    b.function("differs", &[("a", int)]);
    b.function("differs", &[("b", int)]);
    b.function("long", &[(&"x".repeat(511), int)]);
    b.function("too_long", &[(&"x".repeat(512), int)]);
    b.add(FUNC, "no_prototype", 0, int, &[]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.function_params("ipcget").unwrap(), ["ns", "ids", "params"]);
    assert_eq!(btf.function_params("printk").unwrap(), ["fmt", "..."]);
    assert_eq!(btf.function_params("twice").unwrap(), ["a"]);
    assert!(matches!(btf.function_params("differs"), Err(BtfError::Ambiguous(_))));
    assert_eq!(btf.function_params("long").unwrap()[0].len(), 511);
    for name in ["no_prototype", "too_long"] {
        let answer = btf.function_params(name);
        assert!(matches!(answer, Err(BtfError::Malformed(..))), "{name}");
    }
}

#[test]
fn bitfields_are_refused_in_both_encodings() {
    let mut b = sample();
    let three_bits = b.add(INT, "int", 0, 4, &[3]);
    let shifted = b.add(INT, "int", 0, 4, &[8 << 16 | 32]);
    b.aggregate(STRUCT, "old", 8, &[("width", three_bits, 0), ("shift", shifted, 32)]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("flags", "plain"), scalar(0, 4));
    for (structure, path) in [("flags", "bit"), ("flags", "odd"), ("old", "width"), ("old", "shift")] {
        let answer = btf.field(structure, path);
        assert!(
            matches!(answer, Err(BtfError::Bitfield(_))),
            "{structure}.{path}: {answer:?}"
        );
    }
}

#[test]
fn ambiguity_is_refused_agreement_is_not() {
    let mut b = sample();
    let int = 1;
    let first = b.aggregate(STRUCT, "", 4, &[("x", int, 0), ("y", int, 0)]);
    let second = b.aggregate(STRUCT, "", 8, &[("x", int, 0), ("z", int, 0)]);
    b.aggregate(STRUCT, "members", 16, &[("", first, 0), ("", second, 64)]);
    b.aggregate(
        STRUCT,
        "types",
        8,
        &[("same", int, 0), ("moved", int, 32), ("gone", int, 32)],
    );
    b.aggregate(STRUCT, "types", 16, &[("same", int, 0), ("moved", int, 64)]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    for (structure, path) in [("members", "x"), ("types", "moved"), ("types", "gone")] {
        let answer = btf.field(structure, path);
        assert!(
            matches!(answer, Err(BtfError::Ambiguous(_))),
            "{structure}.{path}: {answer:?}"
        );
    }
    assert_eq!(btf.field("members", "z"), scalar(8, 4));
    assert_eq!(btf.field("types", "same"), scalar(0, 4));
    assert!(btf.field("types", "other").unwrap_err().is_absent());
}

#[test]
fn cycles_and_contradictions_are_refused() {
    let malformed = |b: &Builder, path| {
        let answer = field_in(b, "s", path);
        assert!(matches!(answer, Err(BtfError::Malformed(..))), "{path}: {answer:?}");
    };
    let mut b = Builder::new();
    b.add(TYPEDEF, "loop", 0, 1, &[]); // 1 is itself
    b.add(ARRAY, "", 0, 0, &[2, 2, 1]); // 2 is an array of itself
    b.aggregate(STRUCT, "", 4, &[("", 3, 0)]); // 3 holds itself, unnamed
    let int = b.int("int", 4);
    let huge = b.array(int, u32::MAX);
    let prototype = b.add(FUNC_PROTO, "", 0, 0, &[]);
    b.aggregate(
        STRUCT,
        "s",
        8,
        &[
            ("typedef", 1, 0),
            ("array", 2, 0),
            ("huge", huge, 0),
            ("function", prototype, 0),
            ("void", 0, 0),
            ("dangling", 99, 0),
            ("outside", int, 40),
            ("far", int, 0xffff_fff8),
            ("good", int, 32),
        ],
    );
    assert_eq!(field_in(&b, "s", "good"), scalar(4, 4));
    for path in [
        "typedef", "array", "huge", "huge[7]", "function", "void", "dangling", "outside", "far",
    ] {
        malformed(&b, path);
    }
    let mut b = Builder::new();
    b.aggregate(STRUCT, "s", 4, &[("", 1, 0)]);
    malformed(&b, "x");
}

/// Anonymous structs that each hold the next one twice: 2^30 paths to the innermost member.
#[test]
fn exponential_nesting_ends_quickly() {
    let mut b = Builder::new();
    let mut inner = b.int("int", 4);
    for level in 0..30 {
        let name = if level == 29 { "s" } else { "" };
        inner = b.aggregate(STRUCT, name, 4, &[("", inner, 0), ("", inner, 0)]);
    }
    let start = Instant::now();
    assert!(matches!(field_in(&b, "s", "x"), Err(BtfError::Malformed(..))));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn header_is_checked() {
    let good = sample().build();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        parse_error(&bytes)
    };
    assert!(matches!(with(2, 2), BtfError::Unknown(2, "version", 2)));
    assert!(matches!(with(3, 1), BtfError::Unknown(3, "flags", 1)));
    assert!(matches!(with(0, 0), BtfError::Malformed(0, _)));
    assert!(
        matches!(with(good.len() - 1, b'x'), BtfError::Malformed(..)),
        "last name without NUL"
    );
    assert!(matches!(with(4, 20), BtfError::Malformed(4, _)), "shorter header");
    assert!(
        matches!(with(20, 0xff), BtfError::Malformed(16, _)),
        "strings past the end"
    );
    let strings_at = good.len() - sample().strings.len();
    assert!(
        matches!(with(strings_at, b'x'), BtfError::Malformed(..)),
        "first name not empty"
    );
    assert!(
        matches!(with(24 + 2, 1), BtfError::Malformed(24, _)),
        "name outside the strings"
    );
    let mut foreign = good.clone();
    foreign[..2].reverse();
    assert_eq!(parse_error(&foreign), BtfError::ForeignEndian);

    let longer = sample().build_with(48, &[]);
    let field = Btf::parse(&longer).unwrap().field("task", "ids[2].seq");
    assert_eq!(field, scalar(96, 4), "a header longer than known");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = sample().build();
    assert!(Btf::parse(&bytes).is_ok());
    for len in 0..bytes.len() {
        let error = parse_error(&bytes[..len]);
        assert!(
            matches!(error, BtfError::Malformed(..)) && !error.is_absent(),
            "{len}: {error}"
        );
    }
}

#[test]
fn a_type_cut_by_its_section_is_refused() {
    let mut b = sample();
    b.add(STRUCT, "cut", 2, 8, &[0, 1, 0]); // two members announced, one there
    assert!(matches!(parse_error(&b.build()), BtfError::Malformed(..)));
}

#[test]
fn unknown_kinds_need_a_layout() {
    let mut b = sample();
    b.add(23, "new", 3, 0, &[1, 2, 3, 4]); // one word of its own, three entries of a word
    b.aggregate(STRUCT, "behind", 8, &[("x", 1, 32), ("new", 23, 0)]);
    for header_len in [24, 32] {
        let error = parse_error(&b.build_with(header_len, &[]));
        assert!(matches!(error, BtfError::Unknown(_, "kind", 23)), "{error}");
    }
    let mut layout = [[0; 4]; 24];
    layout[23] = [4, 4, 0, 0];
    let bytes = b.build_with(32, &layout);
    assert_eq!(Btf::parse(&bytes).unwrap().field("behind", "x"), scalar(4, 4));

    let mut b = Builder::new();
    b.add(0, "", 0, 0, &[]);
    let error = parse_error(&b.build_with(32, &layout));
    assert!(matches!(error, BtfError::Unknown(24.., "kind", 0)), "{error}");
}

// This kernel, as btf-rs reads it.

/// What the sensor reads, and some more.
const KERNEL_QUESTIONS: &[(&str, &str)] = &[
    (
        "task_struct",
        "real_parent group_leader tgid pid start_boottime self_exec_id nsproxy \
        thread_pid cred real_cred loginuid loginuid.val sessionid mm signal \
        seccomp.mode ptrace comm comm[0] flags thread_info.status thread_info.flags \
        no_such_member comm[4096]",
    ),
    ("nsproxy", "uts_ns ipc_ns mnt_ns pid_ns_for_children net_ns cgroup_ns"),
    (
        "ipc_namespace",
        "ns.inum ns.ns_id ids ids[1] ids[1].seq ids[1].last_idx ids[1].in_use user_ns",
    ),
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
fn kernel_btf() -> Option<Vec<u8>> {
    let path = "/sys/kernel/btf/vmlinux";
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("{path}: {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED: this test needs {path}: {error}");
            None
        }
    }
}

/// The same questions put to btf-rs, by code that shares nothing with ours.
mod oracle {
    use btf_rs::{Btf, BtfType, Type};

    /// Offset and size in bytes, and the size of an element of an array.
    pub type Answer = Option<(u64, usize, Option<usize>)>;

    fn plain(btf: &Btf, of: &dyn BtfType) -> Type {
        let mut found = btf.resolve_chained_type(of).unwrap();
        while let Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) | Type::Restrict(_) | Type::TypeTag(_) = &found
        {
            found = btf.resolve_chained_type(found.as_btf_type().unwrap()).unwrap();
        }
        found
    }

    pub fn size(btf: &Btf, of: &Type) -> usize {
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

    pub fn field(btf: &Btf, structure: &str, path: &str) -> Answer {
        let found = btf.resolve_types_by_name(structure).ok()?;
        let mut at = found
            .into_iter()
            .find(|it| matches!(it, Type::Struct(_) | Type::Union(_)))?;
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

    pub fn function_params(btf: &Btf, name: &str) -> Option<Vec<String>> {
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
    for name in [
        "no_such_struct.pid",
        "task_struct.no_such_member",
        "task_struct.comm[4096]",
    ] {
        assert!(absent.iter().any(|it| it == name));
    }
    for name in [
        "ipcget",
        "security_msg_queue_associate",
        "newque",
        "freeque",
        "no_such_function",
    ] {
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

// Bytes made to break it.

/// Length of the types in `kernel_slice`, give or take a type.
const SLICE_LEN: usize = 96 * 1024;

/// The first types of this kernel with all its strings.
fn kernel_slice() -> Option<Vec<u8>> {
    let bytes = kernel_btf()?;
    let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let [header_len, types_off, strings_off, strings_len] = [4, 8, 16, 20].map(word);
    let cut = |types_len: usize| {
        let mut header = bytes[..24].to_vec();
        for (at, value) in [(4, 24), (8, 0), (12, types_len), (16, types_len)] {
            header[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_ne_bytes());
        }
        let types = &bytes[header_len + types_off..][..types_len];
        [&header, types, &bytes[header_len + strings_off..][..strings_len]].concat()
    };
    let mut slices = (SLICE_LEN..).step_by(4).map(cut);
    slices.find(|bytes| Btf::parse(bytes).is_ok()) // As soon as a type ends where the slice does.
}

/// Asks everything of possibly damaged BTF. What it answers has to make sense, and soon.
fn interrogate(bytes: &[u8], questions: &[(&str, &str)]) -> usize {
    let start = Instant::now();
    let mut answers = 0;
    if let Ok(btf) = Btf::parse(bytes) {
        for (structure, paths) in questions {
            let fields = paths.split_whitespace().map(|path| btf.field(structure, path));
            for field in fields.flatten() {
                assert!(btf.has_struct(structure));
                assert!(field.offset.checked_add(field.size).is_some());
                if let Shape::Array { elem_size } = field.shape {
                    assert_eq!(field.size.checked_rem(elem_size).unwrap_or(field.size), 0);
                }
                answers += 1;
            }
        }
        answers += ["ipcget", "printk"]
            .iter()
            .filter(|name| btf.function_params(name).is_ok())
            .count();
    }
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    answers
}

/// Words that are likely to hurt, at places anywhere in the first `len` bytes.
fn damage(len: usize) -> impl Strategy<Value = Vec<(usize, u32)>> {
    let word = prop_oneof![
        any::<u32>(),
        0..64_u32,
        Just(u32::MAX),
        (1..20_u32, 0..64_u32).prop_map(|(kind, vlen)| kind << 24 | vlen),
        (4..6_u32).prop_map(|kind| kind << 24 | 0xffff | KIND_FLAG),
    ];
    proptest::collection::vec((0..len / 4, word), 1..12)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(usize, u32)]) -> Vec<u8> {
    for (nth, word) in damage {
        bytes[nth * 4..][..4].copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

#[test]
fn the_undamaged_answer() {
    assert_eq!(interrogate(&sample().build(), SAMPLE_QUESTIONS), 11);
}

proptest! {
    #[test]
    fn random_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..4096), is_btf: bool) {
        let mut bytes = bytes;
        if let (true, Some(head)) = (is_btf, bytes.first_chunk_mut()) {
            *head = *sample().build().first_chunk::<24>().unwrap();
        }
        interrogate(&bytes, SAMPLE_QUESTIONS);
    }

    #[test]
    fn damaged_sample_ends(damage in damage(sample().build().len())) {
        interrogate(&damaged(sample().build(), &damage), SAMPLE_QUESTIONS);
    }

    #[test]
    fn truncated_damaged_sample_ends(damage in damage(sample().build().len()), len: prop::sample::Index) {
        let bytes = damaged(sample().build(), &damage);
        interrogate(&bytes[..len.index(bytes.len())], SAMPLE_QUESTIONS);
    }
}

#[test]
fn damaged_kernel_ends() {
    let Some(slice) = kernel_slice() else { return };
    let names = [
        "list_head",
        "hlist_node",
        "callback_head",
        "path",
        "task_struct",
        "atomic64_t",
        "file",
    ];
    let paths = "next prev func mnt pid comm f_path.dentry thread_info.flags";
    let questions = names.map(|name| (name, paths));
    assert!(interrogate(&slice, &questions) >= 2, "the slice is to hold something");
    proptest!(|(damage in damage(SLICE_LEN))| {
        interrogate(&damaged(slice.clone(), &damage), &questions);
    });
}

//! BTF made here goes in; each answer and each refusal is known beforehand.

use std::time::{Duration, Instant};

use msgget_trace::kernel::btf::{Btf, BtfError, Field, Shape};

use crate::builder::*;

#[test]
fn finds_members_of_every_shape() {
    let bytes = sample().build();
    let btf = Btf::parse(&bytes).unwrap();
    let field = |path| btf.field("task", path);
    let shaped = |offset, size, shape| Ok(Field { offset, size, shape });

    assert_eq!(field("pid"), scalar(0, 4));
    assert_eq!(field("cred"), shaped(8, 8, Shape::Pointer));
    assert_eq!(field("loginuid"), shaped(16, 4, Shape::Aggregate), "behind tag, volatile, const, typedef");
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
    assert_eq!(field("more"), shaped(320, 0, Shape::Array { elem_size: 16 }), "flexible");
}

#[test]
fn absence_is_told_from_errors() {
    let bytes = sample().build();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(btf.has_struct("task") && btf.has_struct("ipc_ids"));
    assert!(!btf.has_struct("only_forward"), "a forward declaration is no definition");
    assert!(!btf.has_struct("tas") && !btf.has_struct("tasks"), "names are compared whole");
    for path in
        ["pi", "pids", "", "pid.val", "ids[3]", "ids[-1]", "grid[1][2]", "pid[0]", "more[0]", "loginuid.", "val"]
    {
        let error = btf.field("task", path).unwrap_err();
        assert!(matches!(error, BtfError::NoMember(_)) && error.is_absent(), "{path}: {error}");
    }
    for error in [btf.field("only_forward", "pid").unwrap_err(), btf.function_params("ipc").unwrap_err()] {
        assert!(matches!(error, BtfError::NoType(_)) && error.is_absent(), "{error}");
    }
    let through = btf.field("task", "cred.uid").unwrap_err();
    assert!(matches!(through, BtfError::ThroughPointer(_)) && !through.is_absent());
    assert_eq!(through.to_string(), "task.cred.uid, at uid: behind a pointer, which has to be loaded first");
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
        assert!(matches!(answer, Err(BtfError::Bitfield(_))), "{structure}.{path}: {answer:?}");
    }
}

#[test]
fn ambiguity_is_refused_agreement_is_not() {
    let mut b = sample();
    let int = 1;
    let first = b.aggregate(STRUCT, "", 4, &[("x", int, 0), ("y", int, 0)]);
    let second = b.aggregate(STRUCT, "", 8, &[("x", int, 0), ("z", int, 0)]);
    b.aggregate(STRUCT, "members", 16, &[("", first, 0), ("", second, 64)]);
    b.aggregate(STRUCT, "types", 8, &[("same", int, 0), ("moved", int, 32), ("gone", int, 32)]);
    b.aggregate(STRUCT, "types", 16, &[("same", int, 0), ("moved", int, 64)]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    for (structure, path) in [("members", "x"), ("types", "moved"), ("types", "gone")] {
        let answer = btf.field(structure, path);
        assert!(matches!(answer, Err(BtfError::Ambiguous(_))), "{structure}.{path}: {answer:?}");
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
    for path in ["typedef", "array", "huge", "huge[7]", "function", "void", "dangling", "outside", "far"] {
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
    assert!(matches!(with(good.len() - 1, b'x'), BtfError::Malformed(..)), "last name without NUL");
    assert!(matches!(with(4, 20), BtfError::Malformed(4, _)), "shorter header");
    assert!(matches!(with(20, 0xff), BtfError::Malformed(16, _)), "strings past the end");
    let strings_at = good.len() - sample().strings.len();
    assert!(matches!(with(strings_at, b'x'), BtfError::Malformed(..)), "first name not empty");
    assert!(matches!(with(24 + 2, 1), BtfError::Malformed(24, _)), "name outside the strings");
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
        assert!(matches!(error, BtfError::Malformed(..)) && !error.is_absent(), "{len}: {error}");
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

//! Bytes made to break the parser go in; it comes to an end, and soon.

use std::time::{Duration, Instant};

use msgget_trace::kernel::btf::{Btf, Shape};
use proptest::prelude::*;

use crate::{agreement::kernel_btf, builder::*};

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
        answers += ["ipcget", "printk"].iter().filter(|name| btf.function_params(name).is_ok()).count();
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
    let names = ["list_head", "hlist_node", "callback_head", "path", "task_struct", "atomic64_t", "file"];
    let paths = "next prev func mnt pid comm f_path.dentry thread_info.flags";
    let questions = names.map(|name| (name, paths));
    assert!(interrogate(&slice, &questions) >= 2, "the slice is to hold something");
    proptest!(|(damage in damage(SLICE_LEN))| {
        interrogate(&damaged(slice.clone(), &damage), &questions);
    });
}

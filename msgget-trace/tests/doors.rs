//! Every way into `msgget`: each is made with known arguments, and the line must say by which door it came; or the start
//! record must say that the hooks in use are blind to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![cfg(target_arch = "x86_64")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use common::{int80::int80, run, sys};
use libc::{IPC_CREAT, IPC_EXCL};

const MSGGET: i32 = 399;
const IPC: i32 = 117;
const IPC_MSGGET: i32 = 13;

/// `msgget(key, 0)` by the 64-bit instruction, with a number whose upper half is not 0: the kernel looks at the lower.
fn syscall_with_a_dirty_number(key: i32) {
    // SAFETY: a system call on two numbers, which changes rax, rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") 0x1_0000_0044u64 => _, in("rdi") i64::from(key), in("rsi") 0,
            lateout("rcx") _, lateout("r11") _,
        );
    }
}

/// A static i386 program of a few instructions that calls `msgget(key, 0)` by `int 0x80` and ends.
///
/// System V ABI, Intel386 supplement: an ELF header, one program header, and the code behind them.
fn i386_program(key: u32) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const CODE: u32 = BASE + 52 + 32;
    let mut code = vec![0xb8];
    code.extend(399u32.to_le_bytes()); // mov eax, 399
    code.push(0xbb);
    code.extend(key.to_le_bytes()); // mov ebx, key
    code.extend([0x31, 0xc9, 0xcd, 0x80]); // xor ecx, ecx; int 0x80
    code.extend([0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]); // mov eax, 1; xor ebx, ebx; int 0x80: exit(0)
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|value| elf.extend(value.to_le_bytes()));
    let word = |elf: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| elf.extend(value.to_le_bytes()));
    half(&mut elf, &[2, 3]); // ET_EXEC, EM_386
    word(&mut elf, &[1, CODE, 52, 0, 0]);
    half(&mut elf, &[52, 32, 1, 0, 0, 0]);
    let size = 52 + 32 + code.len() as u32;
    word(&mut elf, &[1, 0, BASE, BASE, size, size, 5, 0x1000]); // PT_LOAD, readable and executable
    elf.extend(code);
    elf
}

#[test]
fn every_door_is_seen_or_its_blindness_declared() {
    live!(60);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("i386");
    fs::write(&program, i386_program(0x3860)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    let daemon = run(&[]);
    let flags = IPC_CREAT | IPC_EXCL | 0o640;
    let (tid, child, answered, id) = sys::private_ipc(|| {
        sys::msgget_only(0x6464, 0);
        syscall_with_a_dirty_number(0x6465);
        let answered = int80(MSGGET, [0x3990, 0, 0]) == -libc::ENOENT;
        let mut id = -1;
        let mut child = 0;
        if answered {
            id = int80(IPC, [IPC_MSGGET, 0x1170, flags]);
            int80(IPC, [IPC_MSGGET | 7 << 16, 0x1171, 0]);
            // Another call of the multiplexer (MSGCTL, IPC_STAT on no address) is neither a call nor a removal.
            int80(IPC, [14, id, 2]);
            let mut real = Command::new(&program).spawn().unwrap();
            child = real.id().cast_signed();
            assert!(real.wait().unwrap().success());
        }
        (sys::thread_id(), child, answered, id)
    });
    if !answered {
        skip!("this kernel does not answer to int 0x80");
    }
    assert!(id >= 0);
    let report = daemon.stop();
    let (lines, start) = (report.balanced(), report.start());
    let by = |tid| -> Vec<_> { lines.iter().filter(|line| line.is_call() && line.by_thread(tid)).collect() };

    assert!(report.controls().iter().all(|line| !line.by_thread(tid)), "IPC_STAT");
    let ours = by(tid);
    assert_eq!(ours[0].door(), ("x86_64", "syscall", 68, None, false));
    if start["hook"] == "tracepoint" {
        assert_eq!(ours.len(), 2, "it claims to be blind to the others");
        assert!(start["coverageGap"].as_str().unwrap().contains("int 0x80"), "{start}");
        return;
    }
    assert_eq!(start["int80Proved"], true);
    let results: Vec<_> = ours.iter().map(|line| line.result()).collect();
    let enoent = i64::from(-libc::ENOENT);
    assert_eq!(
        results,
        [
            (0x6464, 0, enoent),
            (0x6465, 0, enoent),
            (0x3990, 0, enoent),
            (0x1170, flags.into(), id.into()),
            (0x1171, 0, enoent)
        ]
    );
    assert_eq!(ours[1].door(), ("x86_64", "syscall", 68, None, false));
    assert_eq!(ours[2].door(), ("i386", "int80_64bit", 399, None, true));
    assert_eq!(ours[3].door(), ("i386", "int80_64bit", 117, Some(13), true));
    assert_eq!(ours[3]["outcome"], "created");
    assert_eq!(ours[4].door(), ("i386", "int80_64bit", 117, Some(13 | 7 << 16), true));
    let [real] = by(child)[..] else { panic!("one call of the i386 program: {lines:#?}") };
    assert_eq!((real.result(), real.door()), ((0x3860, 0, enoent), ("i386", "32bit", 399, None, true)));
}

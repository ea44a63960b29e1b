//! A key and flags go in, a program of six instructions comes out, which calls `msgget` with them and is gone at once.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The program in a folder of its own, which every user may enter.
pub(crate) struct Tiny {
    _folder: TempDir,
    /// As the kernel names it.
    pub(crate) path: PathBuf,
}

impl Tiny {
    pub(crate) fn new(key: i32, flags: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let path = fs::canonicalize(&folder).unwrap().join("tiny");
        // Written by another process: a file that a sibling test's fork still has open for writing cannot be executed.
        let mut writer = Command::new("sh");
        let mut writer = writer.args(["-c", "cat >\"$0\""]).arg(&path).stdin(Stdio::piped()).spawn().unwrap();
        writer.stdin.take().unwrap().write_all(&code(key, flags)).unwrap();
        assert!(writer.wait().unwrap().success());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self { _folder: folder, path }
    }

    /// Whether its file system takes set-user-ID bits for nothing, mount(8) `nosuid`, or this process must not gain anything.
    pub(crate) fn cannot_be_setuid(&self) -> bool {
        nosuid(&self.path) || {
            // SAFETY: takes and returns integers only.
            unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
        }
    }
}

fn nosuid(path: &Path) -> bool {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: plain data, for which all zeros is a value.
    let mut file_system: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends with NUL, and `file_system` is valid for writing.
    super::sys::ok(unsafe { libc::statvfs(path.as_ptr(), &raw mut file_system) }, "statvfs");
    file_system.f_flag & libc::ST_NOSUID != 0
}

/// System V ABI, elf(5): a header, one program header, and the code behind them.
fn code(key: i32, flags: i32) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut code = vec![0xb8, 68, 0, 0, 0, 0xbf]; // mov eax, 68; mov edi, key
    code.extend(key.to_le_bytes());
    code.push(0xbe); // mov esi, flags
    code.extend(flags.to_le_bytes());
    code.extend([0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]); // syscall; mov eax, 60; xor edi, edi; syscall
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|value| elf.extend(value.to_le_bytes()));
    let word = |elf: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| elf.extend(value.to_le_bytes()));
    let long = |elf: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|value| elf.extend(value.to_le_bytes()));
    half(&mut elf, &[2, 62]); // ET_EXEC, EM_X86_64
    word(&mut elf, &[1]);
    long(&mut elf, &[BASE + HEADERS, 64, 0]);
    word(&mut elf, &[0]);
    half(&mut elf, &[64, 56, 1, 0, 0, 0]);
    word(&mut elf, &[1, 5]); // PT_LOAD, readable and executable
    let size = HEADERS + code.len() as u64;
    long(&mut elf, &[0, BASE, BASE, size, size, 0x1000]);
    elf.extend(code);
    elf
}

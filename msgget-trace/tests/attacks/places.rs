//! Where it matters who the caller is and how it came in: other programs, other containers, other rights, another entry. Each case
//! and its harmless counterpart go in, with what is to be found in each.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use msgget_trace::detect::Severity::{High, Low, Medium};

use crate::{
    common::{
        int80::int80,
        sys::{self, become_user, msgget},
        tiny::Tiny,
    },
    score::{Expected, Run},
    stage::{ALICE, Cast, Space, Stage, Told, User},
};

/// All of them.
pub(crate) fn runs(stage: &Stage) -> Vec<Run> {
    [collision, containers, raised, set_user_id, entry].iter().flat_map(|scenario| scenario(stage)).collect()
}

/// A file system in memory, whose inode numbers only grow.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder.path()).status().unwrap().success());
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, "").unwrap();
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// ftok(3) as the C library has it.
fn ftok(path: &Path, project: u8) -> i32 {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a string that ends with NUL.
    sys::ok(unsafe { libc::ftok(path.as_ptr(), project.into()) }, "ftok")
}

/// Two services, each with a file of its own to make its key from.
fn collision(stage: &Stage) -> Vec<Run> {
    let tmpfs = Tmpfs::mount();
    let key = ftok(&tmpfs.file("service"), b'q');
    let next = ftok(&tmpfs.file("neighbour"), b'q');
    // The 65,536th file after it has the same 16 bits of its inode number.
    let colliding = (0..=0x2_0000).find(|_| {
        let path = tmpfs.file("other");
        let found = ftok(&path, b'q') == key;
        fs::remove_file(&path).unwrap();
        found
    });
    assert!(colliding.is_some(), "no file's key was {key:#x}");
    let run = |second: i32| {
        let space = Space::new();
        let service = Cast::new(stage, space, User::Root).run(&[&*format!("get={key},3600")]);
        (service, Cast::new(stage, space, ALICE).other().run(&[&*format!("get={second},1600")]))
    };
    let (service, other) = run(key);
    assert_eq!(other.results, [-13]);
    let (first, second) = run(next);
    vec![
        Run::new("two files of one ftok key", &[&service, &other])
            .expects(Expected::new("key_collision", Medium, &other).with("creator", &service)),
        Run::new("two files of two ftok keys", &[&first, &second]).without("key_collision"),
    ]
}

/// A cgroup, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        let cgroup = Path::new(mount).join(format!("attacks-{}", std::process::id()));
        fs::create_dir(&cgroup).unwrap();
        Some(Self(cgroup))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// One on the host, one in a container that has the host's IPC namespace, or its own.
fn containers(stage: &Stage) -> Vec<Run> {
    let cgroup = Cgroup::new().expect("cgroup2 is mounted");
    let join = format!("write={}/cgroup.procs,0", cgroup.0.display());
    let run = |how: &[&str]| {
        let space = Space::new();
        let within = [&["unshare", "-p", "-f", "-m", "--mount-proc"], how].concat();
        let container =
            Cast::new(stage, space, User::Root).within(&within).start(&[&join, "get=71,3600", "pause"]).paused();
        let host = Cast::new(stage, space, User::Root).run(&["get=71,600"]);
        (container.go().end(), host)
    };
    let (container, host) = run(&[]);
    assert_eq!(host.results, [0]);
    let (own, alone) = run(&["-i"]);
    assert_eq!(alone.results, [-2]);
    vec![
        Run::new("a container in the host's IPC namespace", &[&container, &host])
            .expects(Expected::new("shared_namespace", Medium, &host).with("creator", &container)),
        Run::new("a container in its own", &[&own, &alone]).without("shared_namespace"),
    ]
}

fn raised(stage: &Stage) -> Vec<Run> {
    let run = |user: User| Cast::new(stage, Space::new(), user).run(&["get=71,0", "get=71,1600"]);
    let (raised, plain) = (run(User::Raised(4101)), run(ALICE));
    let capable = run(User::Capable(4101, "ipc_owner"));
    let by_capability = Expected::new("check_then_create", High, &capable).saying("privilege", "CAP_IPC_OWNER");
    let expected = Expected::new("check_then_create", High, &raised).saying("privilege", "set-user-ID");
    vec![
        Run::new("a check with the rights of another", &[&raised])
            .expects(expected.clone())
            .expects(expected.proving("privileged_context")),
        Run::new("a check with the right to all queues", &[&capable])
            .expects(by_capability.clone())
            .expects(by_capability.proving("privileged_context")),
        Run::new("the same check with one's own", &[&plain]).at_most("check_then_create", Medium),
    ]
}

/// A program that is set-user-ID in its file, as users start it.
fn set_user_id(_: &Stage) -> Vec<Run> {
    let tiny = Tiny::new(71, 0o1600);
    let run = |mode: u32, euid: i64| {
        fs::set_permissions(&tiny.path, Permissions::from_mode(mode)).unwrap();
        let space = Space::new();
        let mut command = Command::new("setpriv");
        space.enter(command.args(["--reuid=4101", "--regid=4101", "--clear-groups"]).arg(&tiny.path));
        let mut child = command.spawn().unwrap();
        assert!(child.wait().unwrap().success());
        Told::by(child.id(), space, [4101, euid])
    };
    let plain = run(0o755, 4101);
    let alone = Run::new("the same program without the bit", &[&plain]).at_most("create_without_exclusive", Low);
    if tiny.cannot_be_setuid() {
        return vec![alone];
    }
    let raised = run(0o4755, 0);
    let expected = Expected::new("create_without_exclusive", Medium, &raised).saying("privilege", "set-user-ID");
    let raised = Run::new("a set-user-ID program", &[&raised]).expects(expected.clone());
    vec![raised.expects(expected.proving("privileged_context")), alone]
}

/// The entry of 32-bit code, used by 64-bit code, and the right one.
fn entry(_: &Stage) -> Vec<Run> {
    /// include/uapi/asm/unistd_32.h
    const MSGGET: i32 = 399;
    const FLAGS: i32 = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    let run = |call: fn() -> i32| {
        let space = Space::new();
        let fork = space.inside(|| {
            let fork = sys::fork(|| {
                become_user([4102; 2], [4102; 2]);
                assert_eq!(call(), 0);
                Vec::new()
            });
            let pid = fork.pid;
            assert!(fork.wait().0.success());
            pid
        });
        Told::by(fork.cast_unsigned(), space, [4102; 2])
    };
    let hidden = run(|| int80(MSGGET, [71, FLAGS, 0]));
    let open = run(|| msgget(71, FLAGS).result);
    vec![
        Run::new("msgget by int 0x80", &[&hidden])
            .expects(Expected::new("compat_evasion", High, &hidden).unseen_on(&["tracepoint"])),
        Run::new("msgget by syscall", &[&open]).without("compat_evasion"),
    ]
}

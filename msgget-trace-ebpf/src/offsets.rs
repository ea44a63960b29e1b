//! Where the kernel keeps its fields: BTF look-ups go in, a table of byte offsets comes out.

use crate::ABSENT;

/// Declares [`Offsets`] and, beside each field, the BTF path it is resolved from, so that the two cannot drift apart.
macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $ty:literal . $path:literal : $size:literal,)*) => {
        /// Byte offsets of kernel structure members, resolved from the running kernel's BTF; [`ABSENT`] where it has none.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// Nothing resolved yet.
            pub const NONE: Self = Self { $($field: ABSENT,)* };

            /// Resolves every field with `lookup(structure, member path, bytes the program will load)`.
            ///
            /// # Errors
            /// The first error of `lookup`; it returns [`ABSENT`] for what this kernel legally lacks.
            pub fn resolve<E>(mut lookup: impl FnMut(&str, &str, u32) -> Result<u32, E>) -> Result<Self, E> {
                Ok(Self { $($field: lookup($ty, $path, $size)?,)* })
            }

            /// Names of the members this kernel does not have in any width, as `structure.member`.
            pub fn absent(&self) -> impl Iterator<Item = &'static str> {
                let all = [$((self.$field, concat!($ty, ".", $path)),)*];
                all.into_iter().filter_map(move |(offset, name)| {
                    let elsewhere = all.iter().any(|(offset, other)| *offset != ABSENT && *other == name);
                    (offset == ABSENT && !elsewhere).then_some(name)
                })
            }
        }
    };
}

offsets! {
    /// Thread id.
    task_pid = "task_struct"."pid": 4,
    /// Process id.
    task_tgid = "task_struct"."tgid": 4,
    /// Parent thread.
    task_real_parent = "task_struct"."real_parent": 8,
    /// First thread of the process.
    task_group_leader = "task_struct"."group_leader": 8,
    /// Start time, boot clock.
    task_start_boottime = "task_struct"."start_boottime": 8,
    /// `PF_` flags.
    task_flags = "task_struct"."flags": 4,
    /// Namespaces; a null pointer in a task that is exiting.
    task_nsproxy = "task_struct"."nsproxy": 8,
    /// Memory; a null pointer in a thread of the kernel and in one that is exiting.
    task_mm = "task_struct"."mm": 8,
    /// The executable.
    mm_exe_file = "mm_struct"."exe_file": 8,
    /// Where the command line begins.
    mm_arg_start = "mm_struct"."arg_start": 8,
    /// Where it ends.
    mm_arg_end = "mm_struct"."arg_end": 8,
    /// The mount a file was opened through.
    file_mnt = "file"."f_path.mnt": 8,
    /// Its name.
    file_dentry = "file"."f_path.dentry": 8,
    /// Its inode.
    file_inode = "file"."f_inode": 8,
    /// Inode number.
    inode_ino = "inode"."i_ino": 8,
    /// File system.
    inode_sb = "inode"."i_sb": 8,
    /// Device.
    sb_dev = "super_block"."s_dev": 4,
    /// The directory a name stands in.
    dentry_parent = "dentry"."d_parent": 8,
    /// The name.
    dentry_name = "dentry"."d_name.name": 8,
    /// What of its file system a mount shows.
    mnt_root = "vfsmount"."mnt_root": 8,
    /// The `struct vfsmount` inside a `struct mount`.
    mount_mnt = "mount"."mnt": 0,
    /// The mount it is mounted on; itself at the root.
    mount_parent = "mount"."mnt_parent": 8,
    /// Where on that.
    mount_mountpoint = "mount"."mnt_mountpoint": 8,
    /// Credentials in force.
    task_cred = "task_struct"."cred": 8,
    /// The thread's id in every pid namespace it is visible in.
    task_thread_pid = "task_struct"."thread_pid": 8,
    /// Command name.
    task_comm = "task_struct"."comm": 16,
    /// Image: raised by every execve(2).
    task_self_exec_id = "task_struct"."self_exec_id": 8,
    /// Audit login user id; absent without CONFIG_AUDIT.
    task_loginuid = "task_struct"."loginuid.val": 4,
    /// Audit session id.
    task_sessionid = "task_struct"."sessionid": 4,
    /// 0 none, 1 strict, 2 filter; absent without CONFIG_SECCOMP.
    task_seccomp = "task_struct"."seccomp.mode": 4,
    /// Not 0 while a tracer is attached.
    task_ptrace = "task_struct"."ptrace": 4,
    /// x86: holds TS_COMPAT during a 32-bit system call.
    task_status = "task_struct"."thread_info.status": 4,
    /// What the threads of a process share.
    task_signal = "task_struct"."signal": 8,
    /// Threads still alive.
    signal_live = "signal_struct"."live.counter": 4,
    /// IPC namespace.
    nsproxy_ipc = "nsproxy"."ipc_ns": 8,
    /// The message queues of an IPC namespace: the second of its three `struct ipc_ids`.
    ipc_msg_ids = "ipc_namespace"."ids[1]": 0,
    /// Sequence number of the ids given out now.
    ipc_msg_seq = "ipc_namespace"."ids[1].seq": 2,
    /// Index of the id given out last; -1 at first.
    ipc_msg_last_idx = "ipc_namespace"."ids[1].last_idx": 4,
    /// An id asked for by checkpoint/restore, else -1; absent without CONFIG_CHECKPOINT_RESTORE.
    ipc_msg_next_id = "ipc_namespace"."ids[1].next_id": 4,
    /// Id of a queue, and so on: what every IPC object begins with.
    perm_id = "kern_ipc_perm"."id": 4,
    /// Key.
    perm_key = "kern_ipc_perm"."key": 4,
    /// Owner.
    perm_uid = "kern_ipc_perm"."uid.val": 4,
    /// Owning group.
    perm_gid = "kern_ipc_perm"."gid.val": 4,
    /// Creator.
    perm_cuid = "kern_ipc_perm"."cuid.val": 4,
    /// Creating group.
    perm_cgid = "kern_ipc_perm"."cgid.val": 4,
    /// Permission bits.
    perm_mode = "kern_ipc_perm"."mode": 2,
    /// `ipcget`'s key.
    params_key = "ipc_params"."key": 4,
    /// `ipcget`'s flags.
    params_flg = "ipc_params"."flg": 4,
    /// Mount namespace.
    nsproxy_mnt = "nsproxy"."mnt_ns": 8,
    /// UTS namespace.
    nsproxy_uts = "nsproxy"."uts_ns": 8,
    /// Inode number of an IPC namespace.
    ipc_inum = "ipc_namespace"."ns.inum": 4,
    /// Inode number of a mount namespace.
    mnt_inum = "mnt_namespace"."ns.inum": 4,
    /// Inode number of a pid namespace.
    pid_inum = "pid_namespace"."ns.inum": 4,
    /// Node name.
    uts_nodename = "uts_namespace"."name.nodename": 65,
    /// Depth of the pid namespace a `struct pid` was made in.
    pid_level = "pid"."level": 4,
    /// First of the `level + 1` ids.
    pid_numbers = "pid"."numbers": 0,
    /// The id.
    upid_nr = "upid"."nr": 4,
    /// The namespace it is valid in.
    upid_ns = "upid"."ns": 8,
    /// Real user id.
    cred_uid = "cred"."uid.val": 4,
    /// Effective user id.
    cred_euid = "cred"."euid.val": 4,
    /// Real group id.
    cred_gid = "cred"."gid.val": 4,
    /// Saved user id.
    cred_suid = "cred"."suid.val": 4,
    /// User id for file system access.
    cred_fsuid = "cred"."fsuid.val": 4,
    /// Effective capabilities; two words before Linux 6.3.
    cred_caps = "cred"."cap_effective": 8,
    /// User namespace.
    cred_user_ns = "cred"."user_ns": 8,
    /// Inode number of a user namespace.
    user_inum = "user_namespace"."ns.inum": 4,
    /// Effective group id.
    cred_egid = "cred"."egid.val": 4,
    /// First argument of a 64-bit call, fifth of a 32-bit one.
    regs_di = "pt_regs"."di": 8,
    /// Second argument of a 64-bit call, fourth of a 32-bit one.
    regs_si = "pt_regs"."si": 8,
    /// First argument of a 32-bit call.
    regs_bx = "pt_regs"."bx": 8,
    /// Second argument of a 32-bit call.
    regs_cx = "pt_regs"."cx": 8,
    /// Third argument of any call.
    regs_dx = "pt_regs"."dx": 8,
    /// Fourth argument of a 64-bit call.
    regs_r10 = "pt_regs"."r10": 8,
    /// Fifth argument of a 64-bit call.
    regs_r8 = "pt_regs"."r8": 8,
    /// Sixth argument of a 32-bit call.
    regs_bp = "pt_regs"."bp": 8,
    /// Number of the call.
    regs_orig_ax = "pt_regs"."orig_ax": 8,
    /// Code segment, which tells 64-bit from 32-bit code, until Linux 6.8.
    regs_cs_wide = "pt_regs"."cs": 8,
    /// The same since 6.9, which made it narrower.
    regs_cs = "pt_regs"."cs": 2,
}

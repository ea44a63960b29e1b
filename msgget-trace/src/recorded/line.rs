//! The fields of lines that are read, by their names there; whatever else a line has is passed over, for fields are added
//! within a major version.

use serde::{Deserialize, de::IgnoredAny};

/// What tells of which kind a line is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) event_name: Option<String>,
    pub(super) schema_version: Option<String>,
    #[serde(default)]
    pub(super) sequence: u64,
    pub(super) boot_timestamp: Option<IgnoredAny>,
    /// Findings have it, and nothing else.
    pub(super) metadata: Option<IgnoredAny>,
}

/// The line of a call, of what became of a queue, or of its use after that.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Made {
    pub(super) timestamp: u64,
    pub(super) thread_start_time: Option<u64>,
    pub(super) processor_id: u32,
    pub(super) process_id: Option<u32>,
    pub(super) cgroup_id: u64,
    pub(super) thread_id: Option<u32>,
    pub(super) parent_process_id: Option<u32>,
    pub(super) host_process_id: u32,
    pub(super) host_thread_id: u32,
    pub(super) host_parent_process_id: u32,
    pub(super) user_id: Option<u32>,
    pub(super) mount_namespace: Option<u32>,
    pub(super) pid_namespace: Option<u32>,
    pub(super) process_name: String,
    pub(super) executable: Executable,
    pub(super) host_name: Option<String>,
    pub(super) container_id: String,
    pub(super) kubernetes: Kubernetes,
    pub(super) return_value: i64,
    pub(super) args: Vec<Argument>,
    pub(super) id: String,
    pub(super) user_name: Option<String>,
    pub(super) effective_user_id: Option<u32>,
    pub(super) effective_user_name: Option<String>,
    pub(super) group_id: Option<u32>,
    pub(super) group_name: Option<String>,
    pub(super) effective_group_id: Option<u32>,
    pub(super) effective_group_name: Option<String>,
    pub(super) saved_user_id: Option<u32>,
    pub(super) filesystem_user_id: Option<u32>,
    pub(super) login_user_id: Option<u32>,
    pub(super) session_id: Option<u32>,
    pub(super) capabilities: Option<String>,
    pub(super) seccomp_mode: Option<u32>,
    pub(super) traced: Option<bool>,
    pub(super) user_namespace: Option<u32>,
    pub(super) ipc_namespace: Option<u32>,
    pub(super) cgroup_path: Option<String>,
    #[serde(default)]
    pub(super) cgroup_path_cut: bool,
    pub(super) cgroup_path_absent: Option<String>,
    pub(super) container_runtime: Option<String>,
    pub(super) outermost_container_id: Option<String>,
    pub(super) process_start_time: Option<u64>,
    pub(super) parent_start_time: Option<u64>,
    pub(super) host_id: Option<String>,
    pub(super) boot_id: Option<String>,
    pub(super) exec_id: Option<u64>,
    pub(super) parent_exec_id: Option<u64>,
    pub(super) boot_timestamp: u64,
    #[serde(default)]
    pub(super) clock_moved_ns: i64,
    pub(super) executable_inode: Option<u64>,
    pub(super) executable_device: Option<String>,
    #[serde(default)]
    pub(super) executable_path_cut: bool,
    pub(super) command_line: Option<Vec<String>>,
    #[serde(default)]
    pub(super) command_line_cut: bool,
    pub(super) parent_executable: Option<String>,
    pub(super) parent_executable_inode: Option<u64>,
    pub(super) outcome: String,
    pub(super) outcome_source: Option<String>,
    pub(super) cmd_name: Option<String>,
    #[serde(default)]
    pub(super) namespace_teardown: bool,
    pub(super) key_hex: Option<String>,
    pub(super) exit_timestamp: u64,
    pub(super) duration_ns: Option<u64>,
    pub(super) linearised_timestamp: Option<u64>,
    pub(super) queue: Option<Queue>,
    pub(super) abi: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) syscall_number: Option<u32>,
    pub(super) ipc_call: Option<u32>,
    pub(super) hook: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Executable {
    pub(super) path: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kubernetes {
    #[serde(rename = "podUID")]
    pub(super) pod_uid: Option<String>,
}

/// Numbers of 32 or 64 bits, with a sign or without.
#[derive(Debug, Deserialize)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) value: i128,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    pub(super) owner_user_id: u32,
    pub(super) owner_group_id: u32,
    pub(super) creator_user_id: u32,
    pub(super) creator_group_id: u32,
    pub(super) mode: String,
    pub(super) age_ns: Option<u64>,
}

/// The line of an aggregate, or of news of the sensor.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Own {
    pub(super) timestamp: u64,
    pub(super) id: Option<String>,
    pub(super) hook: String,
    pub(super) host_id: Option<String>,
    pub(super) boot_id: Option<String>,
    pub(super) boot_timestamp: u64,
    #[serde(default)]
    pub(super) clock_moved_ns: i64,
    pub(super) machine_name: Option<String>,
    pub(super) kernel_release: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) count: Option<u64>,
    pub(super) cpu: Option<u32>,
    pub(super) output: Option<String>,
    pub(super) since: Option<u64>,
    pub(super) attributed_to: Option<String>,
    pub(super) by_outcome: Option<std::collections::BTreeMap<String, u64>>,
    pub(super) first_timestamp: Option<u64>,
    pub(super) last_timestamp: Option<u64>,
    pub(super) taken_timestamp: Option<u64>,
    pub(super) sample_keys: Option<Vec<i32>>,
    pub(super) host_process_id: Option<u32>,
    pub(super) process_start_time: Option<u64>,
    pub(super) process_name: Option<String>,
    pub(super) effective_user_id: Option<u32>,
    pub(super) effective_user_name: Option<String>,
    pub(super) ipc_namespace: Option<u32>,
    pub(super) cgroup_id: Option<u64>,
    pub(super) cgroup_path: Option<String>,
    #[serde(default)]
    pub(super) cgroup_path_cut: bool,
    pub(super) cgroup_path_absent: Option<String>,
}

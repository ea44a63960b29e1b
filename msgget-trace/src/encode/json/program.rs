//! The part of a line that says which program made the call: its image and its parent's go in, our fields come out.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    encode::{
        Escaped,
        show::{Arguments, Shown},
    },
    event::{Caller, Device},
};

/// Ours, on every line; the path itself is Tracee's `executable`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Program<'a> {
    /// Inode number.
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_inode: Option<u64>,
    /// Major and minor number.
    #[schemars(regex(pattern = r"^[0-9]+:[0-9]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_device: Option<Shown<Device>>,
    /// Whether the beginning of the path is missing. True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    executable_path_cut: bool,
    /// The arguments; parts may be redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Arguments<'a>>,
    /// Whether the end is missing. True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    command_line_cut: bool,
    /// Path of what the parent runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_executable: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_executable_inode: Option<u64>,
}

impl<'a> Program<'a> {
    pub(super) fn new(caller: &'a Caller) -> Self {
        let image = caller.image.as_deref();
        let parent = caller.parent_image.as_deref();
        Self {
            executable_inode: image.and_then(|image| image.inode),
            executable_device: image.and_then(|image| image.device).map(Shown),
            executable_path_cut: image.is_some_and(|image| image.path_cut),
            command_line: image.and_then(Arguments::of),
            command_line_cut: image.is_some_and(|image| image.arguments_cut),
            parent_executable: parent.and_then(|image| image.path.as_deref()).map(Escaped),
            parent_executable_inode: parent.and_then(|image| image.inode),
        }
    }
}

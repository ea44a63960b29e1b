//! `host.*` and `agent.*`: the sensor goes in; which machine this is, and which program says so, comes out.

use serde::Serialize;
use uuid::Uuid;

use crate::encode::{
    Item, Sensor,
    show::{Digits, Shown},
};

/// ECS field set `host`.
#[derive(Serialize)]
pub(super) struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    architecture: &'static str,
    os: Os<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<Boot<'a>>,
    /// The pid namespace of the caller, by its inode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_ns_ino: Option<Digits<u32>>,
}

#[derive(Serialize)]
struct Os<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a str>,
}

#[derive(Serialize)]
struct Boot<'a> {
    id: &'a str,
}

/// ECS field set `agent`.
#[derive(Serialize)]
pub(super) struct Agent<'a> {
    r#type: &'static str,
    version: &'static str,
    /// The run.
    ephemeral_id: Shown<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> Host<'a> {
    pub(super) fn new(item: &Item<'_>, sensor: &'a Sensor) -> Self {
        let host = &sensor.host;
        Self {
            id: host.id.as_deref(),
            name: host.name.as_deref(),
            hostname: host.name.as_deref(),
            architecture: std::env::consts::ARCH,
            os: Os { r#type: "linux", kernel: host.kernel.as_deref() },
            boot: host.boot_id.as_deref().map(|id| Boot { id }),
            pid_ns_ino: item.caller().and_then(|(caller, _)| caller.pid_ns).map(Digits),
        }
    }
}

impl<'a> Agent<'a> {
    pub(super) fn new(sensor: &'a Sensor) -> Self {
        Self {
            r#type: "msgget-trace",
            version: env!("CARGO_PKG_VERSION"),
            ephemeral_id: Shown(sensor.run),
            name: sensor.host.name.as_deref(),
        }
    }
}

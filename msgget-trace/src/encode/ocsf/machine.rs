//! The attributes `device` and `metadata`: the sensor and an item go in; which machine this is, which program says so, and
//! which event it is, come out.

use serde::Serialize;
use uuid::Uuid;

use super::class::OTHER;
use crate::{
    detect::Tags,
    encode::{
        Id, Item, Kind, Sensor,
        facts::{SCHEMA_VERSION, dataset},
        show::Shown,
    },
};

/// This program.
const NAME: &str = "msgget-trace";

/// Version of the schema.
const VERSION: &str = "1.8.0";

/// The object `device`.
#[derive(Serialize)]
pub(super) struct Device<'a> {
    /// Whether it is a server, a desktop or a virtual machine is not known.
    type_id: u32,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    /// The schema asks for a name of some kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_uid: Option<&'a str>,
    os: Os<'a>,
    agent_list: [Agent; 1],
}

#[derive(Serialize)]
struct Os<'a> {
    name: &'static str,
    r#type: &'static str,
    type_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_release: Option<&'a str>,
}

#[derive(Serialize)]
struct Agent {
    name: &'static str,
    /// The run.
    uid: Shown<Uuid>,
    type_id: u32,
    r#type: &'static str,
    version: &'static str,
}

impl<'a> Device<'a> {
    pub(super) fn new(sensor: &'a Sensor) -> Self {
        let host = &sensor.host;
        let nameless = host.id.is_none() && host.name.is_none();
        Self {
            type_id: 0,
            r#type: "Unknown",
            uid: host.id.as_deref(),
            hostname: host.name.as_deref(),
            name: nameless.then_some("unknown"),
            boot_uid: host.boot_id.as_deref(),
            os: Os { name: "Linux", r#type: "Linux", type_id: 200, kernel_release: host.kernel.as_deref() },
            agent_list: [Agent {
                name: NAME,
                uid: Shown(sensor.run),
                type_id: OTHER,
                r#type: "Kernel event sensor",
                version: env!("CARGO_PKG_VERSION"),
            }],
        }
    }
}

/// The object `product`.
#[derive(Serialize)]
pub(super) struct Product {
    name: &'static str,
    version: &'static str,
}

impl Product {
    /// This program.
    pub(super) const OURS: Self = Self { name: NAME, version: env!("CARGO_PKG_VERSION") };
}

/// The object `metadata`.
#[derive(Serialize)]
pub(super) struct Metadata {
    version: &'static str,
    profiles: &'static [&'static str],
    uid: Shown<Id>,
    sequence: u64,
    event_code: &'static str,
    /// The run.
    correlation_uid: Shown<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Tags>,
    log_name: &'static str,
    log_provider: &'static str,
    log_version: &'static str,
    product: Product,
}

impl Metadata {
    pub(super) fn new(item: &Item<'_>, sensor: &Sensor, sequence: u64) -> Self {
        let kind = item.kind();
        Self {
            version: VERSION,
            profiles: match kind {
                Kind::Call | Kind::Control | Kind::Use | Kind::Aggregate => {
                    &["host", "container", "linux/linux_users", "datetime"]
                }
                Kind::Finding => &["host", "container", "linux/linux_users", "datetime", "security_control"],
                Kind::Health => &["host", "datetime"],
            },
            uid: Shown(item.id(sensor)),
            sequence,
            event_code: item.name(),
            correlation_uid: Shown(sensor.run),
            labels: item.tags(),
            log_name: dataset(kind),
            log_provider: NAME,
            log_version: SCHEMA_VERSION,
            product: Product::OURS,
        }
    }
}

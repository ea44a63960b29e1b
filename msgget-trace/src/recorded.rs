//! Recorded: the bytes of a line of the json format go in, what it was made of comes out, or an error that says what is wrong
//! with it and where: the inverse of encode, so that detection can be run again on what was written down. Pure.
//!
//! What comes back equals what went in, but for what no later stage asks about:
//! - of a call `positions`, `rivals` and `witness`, which have served their purpose when it was decided;
//! - of the parent's image all but path and inode; of an image of which nothing is known that it was announced;
//! - the 16th byte of the node name, which Tracee's field has no room for, and what stands behind the NUL of a name;
//! - the errno for which a cgroup could not be read, and what in its path told of the container where that is no part of it;
//! - the names of the policies that wanted it;
//! - of news of the sensor itself all but losses, and but when it began and on which machine.

mod error;
mod field;
mod line;
mod made;
mod own;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::Unreadable;
use line::{Head, Made, Own};
use uuid::Uuid;

use crate::{
    encode::JSON_VERSION,
    enrich::{Place, Who, cgroup, container::Container},
    event::{Aggregate, BootTime, Event, Health, Operation, Rung},
};

/// A line, read back.
#[derive(Debug)]
pub struct Line {
    /// Its place in the output it was written to.
    pub sequence: u64,
    /// What it tells of.
    pub recorded: Recorded,
}

/// What a line tells of.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once; a box would cost every call an allocation")]
pub enum Recorded {
    /// A call, what became of a queue, or its use after that.
    Event {
        /// Which.
        event: Event,
        /// What was known besides of whoever made it.
        names: Names,
        /// Who recorded it.
        origin: Origin,
    },
    /// Calls that were counted instead of sent.
    Aggregate {
        /// Their numbers.
        aggregate: Aggregate,
        /// Path of the cgroup, if it was asked for.
        place: Option<cgroup::Answer>,
        /// Name of their effective user.
        user: Option<Vec<u8>>,
        /// The run that told of them.
        run: Uuid,
        /// How many records of its own that had told before.
        nth: u64,
        /// Who recorded it.
        origin: Origin,
    },
    /// Calls, or lines of an output, that went missing.
    Loss(Health),
    /// The sensor began to trace: what follows rests on nothing that stands before.
    Start {
        /// When.
        at: BootTime,
        /// The run that began.
        run: Uuid,
        /// Name of its machine.
        machine: Option<String>,
        /// Release of the machine's kernel.
        kernel: Option<String>,
        /// Who recorded it.
        origin: Origin,
    },
    /// Other news of the sensor.
    News {
        /// When it was noticed.
        at: BootTime,
    },
    /// What the detection of that time found; it is not read, for it can be made anew.
    Finding,
}

/// Who recorded a line, and how its clocks stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// machine-id(5).
    pub host_id: Option<String>,
    /// random(4).
    pub boot_id: Option<String>,
    /// The hooks in use.
    pub rung: Rung,
    /// Wall clock minus boot clock, ns.
    pub offset: i64,
    /// By how much that had changed since the sensor was started, ns.
    pub moved: i64,
}

/// What was known of the maker of a call besides the record, as its line says it.
#[derive(Clone, Debug)]
pub struct Names {
    place: Place,
    user: Option<Vec<u8>>,
    effective_user: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
    effective_group: Option<Vec<u8>>,
}

impl Names {
    /// As far as the line of an aggregate says it of whom its calls are.
    #[must_use]
    pub fn of_aggregate(cgroup: Option<cgroup::Answer>, effective_user: Option<Vec<u8>>) -> Self {
        let cgroup = cgroup.unwrap_or(Err(cgroup::Absent::Gone));
        let container = cgroup.as_ref().ok().and_then(|path| Container::from_path(&path.bytes)).map(Into::into);
        let place = Place { cgroup, container };
        Self { place, user: None, effective_user, group: None, effective_group: None }
    }

    /// The same, to be told again.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        let Self { place, user, effective_user, group, effective_group } = self;
        Who {
            place: place.clone(),
            user: user.as_deref(),
            effective_user: effective_user.as_deref(),
            group: group.as_deref(),
            effective_group: effective_group.as_deref(),
        }
    }
}

/// Reads `line`, with or without its line feed.
///
/// # Errors
/// [`Unreadable`].
pub fn parse(line: &[u8]) -> Result<Line, Unreadable> {
    let head: Head = json(line)?;
    let (Some(name), Some(version)) = (head.event_name, head.schema_version) else {
        return Err(Unreadable::Foreign);
    };
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&version) != major(JSON_VERSION) {
        return Err(Unreadable::Version(error::shown(&version)));
    }
    if head.boot_timestamp.is_none() {
        return Err(Unreadable::Clockless(error::shown(&version)));
    }
    let recorded = match &*name {
        _ if head.metadata.is_some() => Recorded::Finding,
        "msgget" => made::call(json::<Made>(line)?)?,
        "msgctl" => made::control(json::<Made>(line)?)?,
        "msgsnd" => made::used(Operation::Send, json::<Made>(line)?)?,
        "msgrcv" => made::used(Operation::Receive, json::<Made>(line)?)?,
        _ => own::own(&name, json::<Own>(line)?)?,
    };
    Ok(Line { sequence: head.sequence, recorded })
}

fn json<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(line).map_err(|error| Unreadable::json(&error))
}

/// Shares what is there.
fn shared<T>(value: Option<T>) -> Option<Arc<T>> {
    value.map(Arc::new)
}

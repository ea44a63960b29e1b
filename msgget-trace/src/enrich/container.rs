//! The path of a cgroup goes in, the container that it belongs to comes out, if it does. Pure.
//!
//! A path is only names, and whoever may make cgroups may choose them: this says what the path claims. A container that
//! was given a part of the cgroup tree can claim to hold another one. It cannot forge what is around itself, which is
//! why the outermost container is told, too.

/// Length of a container's id in hexadecimal digits: OCI runtimes are given 32 random bytes.
const ID_LEN: usize = 64;

/// Longest name of a machine or an LXC container that is believed: the longest name of a host.
const NAME_LEN: usize = 64;

/// Who runs a container, as far as the path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Docker; on Amazon ECS, too.
    Docker,
    /// containerd, under Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman, with or without root.
    Podman,
    /// LXC, LXD or Incus.
    Lxc,
    /// systemd-nspawn, or another program that registered with machined and keeps to its layout.
    Nspawn,
    /// Its directory is called by the id alone, which several runtimes do.
    Unknown,
}

impl Runtime {
    /// The word for it in every output: Tracee's, where Tracee has one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "crio",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Unknown => "unknown",
        }
    }
}

/// What in the path tells of a container: how much the claim is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A systemd unit, `docker-<id>.scope`.
    Unit,
    /// A directory whose name says the runtime, `crio-<id>`, `lxc.payload.<name>`.
    Name,
    /// A directory called by the id alone, in one that says the runtime or Kubernetes: `/docker/<id>`, `pod<uid>/<id>`.
    Parent,
    /// systemd's notation used as a directory, `<slice>:cri-containerd:<id>`: runtime and manager disagree on the
    /// driver.
    Triple,
    /// A directory called by the id alone, and nothing else that speaks for a container.
    Bare,
}

impl Source {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Name => "name",
            Self::Parent => "parent",
            Self::Triple => "triple",
            Self::Bare => "bare",
        }
    }
}

/// A container, as a cgroup path claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 lower-case hexadecimal digits. Of [`Runtime::Lxc`] and [`Runtime::Nspawn`] the name: 1 to 64 letters,
    /// digits, or any of `-_.:\@`, as it stands in the path, where systemd writes a hyphen as `\x2d`.
    pub id: String,
    /// Who runs it.
    pub runtime: Runtime,
    /// The Kubernetes pod around it, itself or with more containers between: a UUID with hyphens or, of a static pod,
    /// 32 hexadecimal digits.
    pub pod_uid: Option<String>,
    /// The id of the outermost container of the path, where that is another one.
    pub outermost_id: Option<String>,
    /// What tells of it.
    pub source: Source,
}

impl Container {
    /// The innermost container in `path`, which is that of a cgroup v2 or of any v1 hierarchy. On a v1 host try the
    /// path of each: not all controllers have to be in use.
    #[must_use]
    pub fn from_path(path: &[u8]) -> Option<Self> {
        let mut rest = path;
        let mut inner = None;
        let mut pod_uid = None;
        let mut innermost: Option<Found<'_>> = None;
        let mut outermost = None;
        // Outwards, as the innermost is wanted. Nothing is kept per level: a path may be long.
        while let Some((above, name)) = split_last(rest) {
            if let Some(found) = recognise(above, name, inner) {
                outermost = Some(found.id);
                innermost.get_or_insert(found);
            }
            if innermost.is_some() && pod_uid.is_none() {
                pod_uid = pod(above, name);
            }
            inner = Some(name);
            rest = above;
        }
        let found = innermost?;
        Some(Self {
            id: found.id.to_owned(),
            runtime: found.runtime,
            pod_uid,
            outermost_id: outermost.filter(|id| *id != found.id).map(str::to_owned),
            source: found.source,
        })
    }
}

struct Found<'a> {
    id: &'a str,
    runtime: Runtime,
    source: Source,
}

/// What directory `name` in `above` is, if `inner` is the next one towards the process.
fn recognise<'a>(above: &[u8], name: &'a [u8], inner: Option<&[u8]>) -> Option<Found<'a>> {
    let name = std::str::from_utf8(name).ok()?;
    by_runtime(name).or_else(|| by_parent(above, name)).or_else(|| by_name(name, inner))
}

/// `<runtime>-<id>`, as a unit or a directory, or `<slice>:<runtime>:<id>`. The monitors beside the containers,
/// `crio-conmon-<id>` and `libpod-conmon-<id>`, run on the host and are none.
fn by_runtime(name: &str) -> Option<Found<'_>> {
    let (runtime, id, source) = if let Some((front, id)) = name.rsplit_once(':') {
        (front.rsplit_once(':')?.1, id, Source::Triple)
    } else if let Some(unit) = name.strip_suffix(".scope") {
        let (runtime, id) = unit.rsplit_once('-')?;
        (runtime, id, Source::Unit)
    } else {
        let (runtime, id) = name.rsplit_once('-')?;
        (runtime, id, Source::Name)
    };
    let runtime = match runtime {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        // The second: a container that shares the unit of the service that started it, `podman run --cgroups=split`.
        "libpod" | "libpod-payload" => Runtime::Podman,
        _ => return None,
    };
    is_id(id).then_some(Found { id, runtime, source })
}

/// A directory called by the id alone.
fn by_parent<'a>(above: &[u8], name: &'a str) -> Option<Found<'a>> {
    if !is_id(name) {
        return None;
    }
    let (beyond, parent) = split_last(above).unwrap_or_default();
    let (runtime, source) = match parent {
        b"docker" => (Runtime::Docker, Source::Parent),
        b"k8s.io" => (Runtime::Containerd, Source::Parent),
        // The agent of ECS makes a directory for each task.
        _ if split_last(beyond).is_some_and(|(_, name)| name == b"ecs") => (Runtime::Docker, Source::Parent),
        _ if pod(beyond, parent).is_some() => (Runtime::Unknown, Source::Parent),
        _ => (Runtime::Unknown, Source::Bare),
    };
    Some(Found { id: name, runtime, source })
}

/// Containers that have a name and no id. Of a machine only the `payload` is inside: in the `supervisor` runs nspawn
/// itself, and virtual machines, which have units of the same name, have neither.
fn by_name<'a>(name: &'a str, inner: Option<&[u8]>) -> Option<Found<'a>> {
    let unit = |name: &'a str| {
        name.strip_prefix("systemd-nspawn@")
            .and_then(|rest| rest.strip_suffix(".service"))
            .or_else(|| name.strip_prefix("machine-")?.strip_suffix(".scope"))
    };
    let (id, runtime, source) = if let Some(id) = name.strip_prefix("lxc.payload.") {
        (id, Runtime::Lxc, Source::Name)
    } else if inner == Some(b"payload") {
        (unit(name)?, Runtime::Nspawn, Source::Unit)
    } else {
        return None;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:\\@".contains(&byte);
    let valid = (1..=NAME_LEN).contains(&id.len()) && id.bytes().all(plain);
    valid.then_some(Found { id, runtime, source })
}

/// The uid of the pod whose cgroup directory `name` in `above` is: `kubepods-burstable-pod<uid>.slice`, where the uid
/// has underscores, or `pod<uid>` in `kubepods` or in one of its two classes. Nodes in containers put their own name
/// before it.
fn pod(above: &[u8], name: &[u8]) -> Option<String> {
    const CLASSES: [&str; 2] = ["burstable", "besteffort"];
    let name = std::str::from_utf8(name).ok()?;
    if let Some(uid) = name.strip_prefix("pod") {
        let (beyond, parent) = split_last(above)?;
        let class = CLASSES.iter().any(|class| class.as_bytes() == parent);
        let root = if class { split_last(beyond)?.1 } else { parent };
        return (root == b"kubepods").then(|| uid_of(uid))?;
    }
    // In a triple the slice is the first part.
    let slice = name.split(':').next()?.strip_suffix(".slice")?;
    let (front, uid) = slice.rsplit_once("-pod")?;
    let (front, class) = front.rsplit_once('-').unwrap_or(("", front));
    let root = if CLASSES.contains(&class) { front.rsplit('-').next()? } else { class };
    (root == "kubepods").then(|| uid_of(uid))?
}

/// A UUID, whichever way its parts are joined, or the 32 digits that the kubelet gives a static pod.
fn uid_of(text: &str) -> Option<String> {
    let shape: &[usize] = match text.len() {
        32 => &[32],
        36 => &[8, 4, 4, 4, 12],
        _ => return None,
    };
    let uid = text.replace('_', "-");
    let parts = uid.split('-').map(str::len);
    (parts.eq(shape.iter().copied()) && uid.bytes().all(|byte| byte == b'-' || is_digit(byte))).then_some(uid)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(is_digit)
}

/// Runtimes write lower case only.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The last name of a path, and what is before it; `None` at its end.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None => (!path.is_empty()).then_some((b"", path)),
    }
}

#[cfg(test)]
mod tests;

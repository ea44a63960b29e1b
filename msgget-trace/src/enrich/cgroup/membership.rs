//! A process id goes in, what /proc/PID/cgroup says of it comes out: the fallback where there is no cgroup v2 id.

use std::{
    fs::File,
    io::{self, Read},
};

/// Most that is read of one file: 16 hierarchies, which is what the kernel can have, with a path of a page each.
const LIMIT: u64 = 16 * 4224;

/// One line of /proc/PID/cgroup, cgroups(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Number of the hierarchy: 0 is cgroup v2.
    pub hierarchy: u32,
    /// The controllers of a v1 hierarchy, or its name as `name=systemd`; empty for v2.
    pub controllers: Vec<Vec<u8>>,
    /// The cgroup as seen from the reader's cgroup namespace: `/` is its root, `/..` leads out of it. Behind the path
    /// of a v2 cgroup that has been removed the kernel writes ` (deleted)`, which could also be part of its name.
    pub path: Vec<u8>,
}

/// Every hierarchy's cgroup of process `pid`, in the kernel's order. Whoever asks has to know that `pid` still is the
/// process that is meant: compare its start time afterwards.
///
/// # Errors
/// That of open(2) or read(2): `NotFound`, or ESRCH, when the process is gone.
pub fn memberships(pid: u32) -> io::Result<Vec<Membership>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/cgroup"))?.take(LIMIT).read_to_end(&mut text)?;
    Ok(parse(&text))
}

/// The whole lines of `text`. No path contains a newline: the kernel refuses such a name (`cgroup_mkdir`,
/// `cgroup1_rename`), so that this file can be read.
fn parse(text: &[u8]) -> Vec<Membership> {
    text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| membership(line.strip_suffix(b"\n")?)).collect()
}

fn membership(line: &[u8]) -> Option<Membership> {
    // A path may contain colons, and a v1 name, too, may not: hence the first two.
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let hierarchy = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let controllers = fields.next()?.split(|byte| *byte == b',');
    Some(Membership {
        hierarchy,
        controllers: controllers.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect(),
        path: fields.next()?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_v1_and_v2() {
        let parsed = parse(b"12:cpu,cpuacct:/docker/a:b\n1:name=systemd:/\n0::/x\xff (deleted)\n7:cut:/of");
        let line = |hierarchy, controllers: &[&str], path: &[u8]| Membership {
            hierarchy,
            controllers: controllers.iter().map(|name| name.as_bytes().to_vec()).collect(),
            path: path.to_vec(),
        };
        assert_eq!(
            parsed,
            [
                line(12, &["cpu", "cpuacct"], b"/docker/a:b"),
                line(1, &["name=systemd"], b"/"),
                line(0, &[], b"/x\xff (deleted)"),
            ]
        );
        assert_eq!(parse(b"x:y:z\n0:\n\n:::\n"), []);
    }

    #[test]
    fn this_process_is_somewhere() {
        let mine = memberships(std::process::id()).unwrap();
        assert!(mine.iter().any(|line| line.path.starts_with(b"/")), "{mine:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert_eq!(memberships(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

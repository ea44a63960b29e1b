//! The text of /proc/self/mountinfo goes in, the places where a cgroup hierarchy can be seen come out. Pure.

/// A line of mountinfo that is about cgroups; its fields as proc_pid_mountinfo(5) states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// cgroup v2, not v1.
    pub(super) unified: bool,
    /// `st_dev` of the files in it.
    pub(super) device: libc::dev_t,
    /// The directory of the hierarchy that is seen at `point`: `/` unless a part was mounted, or from another cgroup
    /// namespace.
    pub(super) root: Vec<u8>,
    /// Where it is mounted.
    pub(super) point: Vec<u8>,
}

impl Mount {
    /// How many levels its root lies below the root of this cgroup namespace; less than 0 above it, as `/..`.
    pub(super) fn depth(&self) -> i64 {
        let level = |name: &[u8]| match name {
            b"" => 0,
            b".." => -1,
            _ => 1,
        };
        self.root.split(|byte| *byte == b'/').map(level).sum()
    }
}

/// The cgroup mounts in `mountinfo`, in its order. Any other line, and one that cannot be understood, is left out.
pub(super) fn parse(mountinfo: &[u8]) -> impl Iterator<Item = Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = device(fields.nth(2)?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Options and optional fields, of which there may be any number, end at a lone hyphen; the type follows.
    fields.find(|field| *field == b"-")?;
    let unified = match fields.next()? {
        b"cgroup2" => true,
        b"cgroup" => false,
        _ => return None,
    };
    Some(Mount { unified, device, root, point })
}

fn device(field: &[u8]) -> Option<libc::dev_t> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Undoes `\040`: the kernel writes blank, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_unified_hierarchy_of_a_hybrid_host() {
        let mountinfo = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw
";
        let mounts: Vec<_> = parse(mountinfo).collect();
        assert_eq!(mounts.len(), 2);
        assert!(!mounts[0].unified);
        assert_eq!(
            mounts[1],
            Mount {
                unified: true,
                device: libc::makedev(0, 38),
                root: b"/".to_vec(),
                point: b"/sys/fs/cgroup/unified".to_vec(),
            }
        );
    }

    #[test]
    fn undoes_the_escaping_of_the_kernel() {
        let found = parse(b"1 2 0:3 /../a\\134b /mnt/with\\040blank\\ rw - cgroup2 none rw").next();
        let found = found.unwrap();
        assert_eq!((&found.root[..], &found.point[..]), (&b"/../a\\b"[..], &b"/mnt/with blank\\"[..]));
    }

    #[test]
    fn the_mount_that_shows_most_is_told_by_its_root() {
        let depth = |root| {
            let line = format!("1 2 0:3 {root} /m rw - cgroup2 none rw");
            parse(line.as_bytes()).next().unwrap().depth()
        };
        assert_eq!(["/", "/../..", "/a/b", "/../c"].map(depth), [0, -2, 2, 0]);
    }

    #[test]
    fn a_mount_point_called_cgroup2_is_no_cgroup_mount() {
        assert_eq!(parse(b"1 2 0:3 / /cgroup2 rw - tmpfs cgroup2 rw").next(), None);
        assert_eq!(parse(b"1 2 0:3 / /cgroup2").next(), None);
    }

    proptest! {
        #[test]
        fn takes_anything(bytes: Vec<u8>) {
            parse(&bytes).count();
        }
    }
}

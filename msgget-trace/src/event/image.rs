//! Images: what a process runs. The bytes of a context record go in through decode, a path and a command line come out.

use super::BootTime;

/// Which program of which process: another after every execve(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageId {
    /// Process id on the host.
    pub pid: u32,
    /// When the process was started.
    pub started: BootTime,
    /// Which of its programs.
    pub exec_id: u64,
}

/// A program as a process runs it, read in the kernel when one of its calls was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Whose.
    pub id: ImageId,
    /// Path from the root of its mount namespace, whether or not it still leads there; not from a slash when `path_cut`.
    pub path: Option<Vec<u8>>,
    /// The beginning of the path is missing.
    pub path_cut: bool,
    /// Inode number; `None` where this kernel does not say.
    pub inode: Option<u64>,
    /// Device.
    pub device: Option<Device>,
    /// The memory of its command line, NULs between the arguments.
    pub arguments: Option<Vec<u8>>,
    /// The end of the command line is missing.
    pub arguments_cut: bool,
}

/// A block device, or what stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl From<u32> for Device {
    /// From the kernel's own form: `MINORBITS` of include/linux/kdev_t.h is 20.
    fn from(device: u32) -> Self {
        Self { major: device >> 20, minor: device & 0xf_ffff }
    }
}

impl Image {
    /// The arguments one by one, the program's own name first.
    pub fn arguments(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let bytes = self.arguments.as_deref().filter(|bytes| !bytes.is_empty())?;
        // The last NUL ends an argument and begins none.
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        Some(bytes.split(|byte| *byte == 0))
    }
}

/// The path that leads through these names, each with a NUL behind it, the last one first.
#[must_use]
pub(super) fn path(names: &[u8], cut: bool) -> Option<Vec<u8>> {
    let names = names.strip_suffix(&[0])?;
    let mut path = Vec::with_capacity(names.len() + 1);
    for name in names.rsplit(|byte| *byte == 0) {
        if !(cut && path.is_empty()) {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_a_path() {
        assert_eq!(path(b"ls\0bin\0usr\0", false).as_deref(), Some(&b"/usr/bin/ls"[..]));
        assert_eq!(path(b"a \"b\"\xff\n\0", false).as_deref(), Some(&b"/a \"b\"\xff\n"[..]));
        assert_eq!(path(b"ls\0bin\0deep\0", true).as_deref(), Some(&b"deep/bin/ls"[..]));
        assert_eq!(path(b"", false), None);
    }

    #[test]
    fn arguments_keep_what_is_empty() {
        let arguments = |bytes: &[u8]| {
            let image = Image { arguments: Some(bytes.to_vec()), ..crate::event::sample::image() };
            image.arguments().map(|all| all.map(<[u8]>::to_vec).collect::<Vec<_>>())
        };
        assert_eq!(arguments(b"sh\0-c\0\0"), Some(vec![b"sh".to_vec(), b"-c".to_vec(), Vec::new()]));
        assert_eq!(arguments(b"nginx: master"), Some(vec![b"nginx: master".to_vec()]));
        assert_eq!(arguments(b""), None);
    }

    #[test]
    fn devices_are_taken_apart() {
        assert_eq!(Device::from(254 << 20 | 0xf_fffe), Device { major: 254, minor: 0xf_fffe });
    }
}

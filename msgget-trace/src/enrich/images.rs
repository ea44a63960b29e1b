//! Which program made a call: images go in as the kernel announces them, calls go in bare and come out with theirs.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use super::redact::Redactor;
use crate::event::{BootTime, Caller, Image, ImageId};

/// Processes remembered. The kernel side announces an image once, so it must be the first to forget: it remembers half as
/// many, and like us the latest used.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(2 * msgget_trace_ebpf::IMAGES as usize).unwrap();

/// The latest image of each process, by process id.
///
/// Only the latest, so that a process that runs one program after another displaces nobody but itself.
#[derive(Debug)]
pub struct Images {
    latest: LruCache<u32, Arc<Image>>,
    redactor: Redactor,
    command_lines: bool,
}

impl Images {
    /// Nothing is known yet. What `redactor` forbids is not even remembered, nor are any command lines unless they are
    /// wanted: programs that a daemon with other options has left may still send them.
    #[must_use]
    pub fn new(redactor: Redactor, command_lines: bool) -> Self {
        Self { latest: LruCache::new(CAPACITY), redactor, command_lines }
    }

    /// Takes note of an image.
    pub fn remember(&mut self, mut image: Image) {
        image.arguments.take_if(|_| !self.command_lines);
        // As somebody's parent it is announced without a command line; what is known already stays.
        if image.arguments.is_none()
            && let Some(known) = self.find(image.id)
        {
            image.arguments.clone_from(&known.arguments);
            image.arguments_cut = known.arguments_cut;
        } else if let Some(arguments) = &mut image.arguments {
            // Each with its NUL, so that an empty last one stays one.
            let shown = self.redactor.arguments(arguments, image.arguments_cut);
            *arguments = shown.into_iter().flat_map(|argument| argument.into_iter().chain([0])).collect();
        }
        self.latest.put(image.id.pid, Arc::new(image));
    }

    /// Says on `caller` which programs its process and its parent run. To be asked in the order of the ring.
    pub fn attach(&mut self, caller: &mut Caller) {
        let mut find = |pid, started: Option<BootTime>, exec_id: Option<u64>| {
            self.find(ImageId { pid, started: started?, exec_id: exec_id? })
        };
        caller.image = find(caller.host.pid, caller.process_started, caller.exec_id);
        caller.parent_image = find(caller.host.ppid, caller.parent_started, caller.parent_exec_id);
    }

    fn find(&mut self, id: ImageId) -> Option<Arc<Image>> {
        self.latest.get(&id.pid).filter(|image| image.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample::{call, image};

    fn named(exec_id: u64, arguments: Option<&[u8]>) -> Image {
        let id = ImageId { exec_id, ..image().id };
        Image { id, path: Some(format!("/{exec_id}").into()), arguments: arguments.map(<[u8]>::to_vec), ..image() }
    }

    fn attached(images: &mut Images, exec_id: u64) -> Option<Arc<Image>> {
        let mut call = call(0, 0, 1, 0, -2);
        call.caller.exec_id = Some(exec_id);
        images.attach(&mut call.caller);
        call.caller.image
    }

    #[test]
    fn secrets_are_not_even_remembered() {
        let redactor = Redactor::new(&["--password=(?<secret>.*)".to_owned()]).unwrap();
        let mut images = Images::new(redactor, true);
        images.remember(named(3, Some(b"tool\0--password=hunter2\0\0")));
        let image = attached(&mut images, 3).unwrap();
        let arguments: Vec<_> = image.arguments().into_iter().flatten().collect();
        assert_eq!(arguments, [&b"tool"[..], b"--password=[redacted]", b""]);
        assert!(!format!("{images:?}").contains("hunter2"));
    }

    #[test]
    fn command_lines_that_nobody_wants_are_not_remembered() {
        let mut images = Images::new(Redactor::default(), false);
        images.remember(named(3, Some(b"a\0")));
        assert_eq!(attached(&mut images, 3).unwrap().arguments, None);
    }

    #[test]
    fn a_call_gets_the_image_it_was_made_by() {
        let mut images = Images::new(Redactor::default(), true);
        images.remember(named(3, None));
        assert_eq!(attached(&mut images, 3).unwrap().path.as_deref(), Some(&b"/3"[..]));
        assert_eq!(attached(&mut images, 4), None);
        images.remember(named(4, None));
        assert_eq!(attached(&mut images, 4).unwrap().path.as_deref(), Some(&b"/4"[..]));
        assert_eq!(attached(&mut images, 3), None);
    }

    #[test]
    fn a_command_line_is_not_forgotten() {
        let mut images = Images::new(Redactor::default(), true);
        images.remember(named(3, Some(b"a\0")));
        images.remember(named(3, None));
        assert_eq!(attached(&mut images, 3).unwrap().arguments.as_deref(), Some(&b"a\0"[..]));
        images.remember(named(4, None));
        assert_eq!(attached(&mut images, 4).unwrap().arguments, None);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut images = Images::new(Redactor::default(), true);
        images.remember(named(3, None));
        for pid in 100_000..100_000 + CAPACITY.get() as u32 {
            images.remember(Image { id: ImageId { pid, ..image().id }, ..image() });
        }
        assert_eq!(attached(&mut images, 3), None);
        assert_eq!(images.latest.len(), CAPACITY.get());
    }
}

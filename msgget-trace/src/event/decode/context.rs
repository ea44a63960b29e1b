//! Decode of the other kind of record: the bytes of a [`Context`] go in, an [`Image`] comes out.

use msgget_trace_ebpf::{ABSENT, ARGUMENTS_LEN, CUT, Context, Header, PATH_LEN, UNREAD};

use super::{Decoder, Malformed};
use crate::event::{BootTime, Image, ImageId, image};

impl Decoder {
    /// Decodes a context record.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn image(&self, bytes: &[u8]) -> Result<Image, Malformed> {
        let record = Context::from_bytes(bytes).ok_or(Malformed::Length(bytes.len()))?;
        if record.header != Context::HEADER {
            let Header { version, kind, size } = record.header;
            return Err(Malformed::Header { version, kind, size });
        }
        let refuse = |field, value: u32| Malformed::Field { field, value: value.into() };
        let part = |field, bytes, length: u32, flags: u32, limit: usize| {
            if flags > UNREAD || flags == UNREAD && length != 0 {
                return Err(refuse(field, flags));
            }
            let all: &[u8] = bytes;
            all.get(..length as usize).filter(|part| part.len() <= limit).ok_or(refuse(field, length))
        };
        let names = part("path", &record.path, record.path_len, record.path_flags, PATH_LEN)?;
        let arguments =
            part("arguments", &record.arguments, record.arguments_len, record.arguments_flags, ARGUMENTS_LEN)?;
        if names.last().is_some_and(|last| *last != 0) {
            return Err(refuse("path", record.path_len));
        }
        if record.pid == 0 {
            return Err(refuse("pid", 0));
        }
        let offsets = &self.offsets;
        let have = |needed: [u32; 2]| !needed.contains(&ABSENT);
        Ok(Image {
            id: ImageId { pid: record.pid, started: BootTime(record.process_start_ns), exec_id: record.exec_id },
            path: image::path(names, record.path_flags == CUT),
            path_cut: record.path_flags == CUT,
            inode: have([offsets.file_inode, offsets.inode_ino]).then_some(record.inode),
            device: have([offsets.inode_sb, offsets.sb_dev]).then(|| record.device.into()),
            arguments: (record.arguments_flags != UNREAD).then(|| arguments.to_vec()),
            arguments_cut: record.arguments_flags == CUT,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{
        Device,
        decode::Decoded,
        sample::{context, decoder, record},
    };

    #[test]
    fn every_field_arrives() {
        let image = decoder().image(context().as_bytes()).unwrap();
        assert_eq!(image.id, ImageId { pid: 41_237, started: BootTime(record().process_start_ns), exec_id: 3 });
        assert_eq!(image.path.as_deref(), Some(&b"/usr/bin/perl"[..]));
        assert_eq!((image.inode, image.device), (Some(4711), Some(Device { major: 254, minor: 1 })));
        assert_eq!(image.arguments().unwrap().collect::<Vec<_>>(), [b"perl".as_slice(), b"-e", b"exit 0"]);
        assert_eq!((image.path_cut, image.arguments_cut), (false, false));
    }

    #[test]
    fn the_kind_decides() {
        assert!(matches!(decoder().decode(0, context().as_bytes()), Ok(Decoded::Image(_))));
        assert!(matches!(decoder().decode(0, record().as_bytes()), Ok(Decoded::Event(_))));
    }

    #[test]
    fn what_was_not_read_is_absent() {
        let raw = Context { path_len: 0, path_flags: UNREAD, arguments_len: 0, arguments_flags: UNREAD, ..context() };
        let image = decoder().image(raw.as_bytes()).unwrap();
        assert_eq!((image.path, image.arguments), (None, None));
    }

    #[test]
    fn what_the_program_never_writes_is_refused() {
        let wrong = [
            ("path", Context { path_len: PATH_LEN as u32 + 1, ..context() }),
            ("path", Context { path_len: u32::MAX, ..context() }),
            ("path", Context { path_len: 1, ..context() }),
            ("path", Context { path_flags: 3, ..context() }),
            ("path", Context { path_flags: UNREAD, ..context() }),
            ("arguments", Context { arguments_len: ARGUMENTS_LEN as u32 + 1, ..context() }),
            ("arguments", Context { arguments_flags: UNREAD, ..context() }),
            ("pid", Context { pid: 0, ..context() }),
        ];
        for (wanted, record) in wrong {
            match decoder().decode(0, record.as_bytes()) {
                Err(Malformed::Field { field, .. }) => assert_eq!(field, wanted),
                other => panic!("{wanted}: {other:?}"),
            }
        }
        let short = &context();
        let short = &short.as_bytes()[8..];
        assert_eq!(decoder().image(short), Err(Malformed::Length(short.len())));
        let header = Header { size: 8, ..Context::HEADER };
        let refused = decoder().decode(0, Context { header, ..context() }.as_bytes());
        assert!(matches!(refused, Err(Malformed::Header { .. })), "{refused:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        /// Damage leads to a refusal or to an image within its bounds, never to a panic.
        #[test]
        fn any_bytes_are_decoded_or_refused(
            damage in proptest::collection::vec((8..100_usize, any::<u8>()), 0..6),
            lengths: (u16, u16),
        ) {
            let raw = Context { path_len: lengths.0.into(), arguments_len: lengths.1.into(), ..context() };
            let mut damaged = raw.as_bytes().to_vec();
            for (at, byte) in damage {
                damaged[at] = byte;
            }
            if let Ok(image) = decoder().image(&damaged) {
                prop_assert!(image.path.is_none_or(|path| path.len() <= PATH_LEN + 1));
                prop_assert!(image.arguments.is_none_or(|arguments| arguments.len() <= ARGUMENTS_LEN));
            }
        }
    }
}

//! Where lines go, in the user's words: `[FORMAT=]WHERE[,OPTION=VALUE...]` goes in, a checked description of one output comes
//! out, or an error that says which part is wrong.

use std::{fmt, fs, path, str::FromStr};

use crate::{
    encode::{Format, Kind},
    sink::{
        file::{DEFAULT_KEEP, FileOptions},
        syslog::{Target, message::Facility},
    },
};

/// Where lines go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How they look.
    pub format: Format,
    /// Which of them; [`Kinds::ALL`] only where the user did not choose.
    pub only: Kinds,
    /// Whereto.
    pub to: To,
}

/// By which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// The end of a file, or of what else has a name: a pipe, a device.
    File(FileOptions),
    /// A syslog receiver.
    Syslog {
        /// Which.
        target: Target,
        /// As which part of the system.
        facility: Facility,
    },
}

impl To {
    /// True for those that can be away, or slow, at any time.
    #[must_use]
    pub const fn remote(&self) -> bool {
        matches!(self, Self::Syslog { .. })
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(file) => write!(f, "{}", file.path.display()),
            Self::Syslog { target, .. } => target.fmt(f),
        }
    }
}

/// A choice of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// All of them.
    pub const ALL: Self = Self(u8::MAX);

    /// Findings alone.
    pub const FINDINGS: Self = Self(Self::bit(Kind::Finding));

    /// The words of `only=`.
    const NAMES: [(&str, Kind); 6] = [
        ("calls", Kind::Call),
        ("controls", Kind::Control),
        ("uses", Kind::Use),
        ("findings", Kind::Finding),
        ("health", Kind::Health),
        ("aggregates", Kind::Aggregate),
    ];

    const fn bit(kind: Kind) -> u8 {
        1 << kind as u8
    }

    /// True if `kind` is among them.
    #[must_use]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn parse(words: &str) -> Result<Self, String> {
        words.split('+').try_fold(Self(0), |Self(kinds), word| {
            let known = Self::NAMES.iter().find(|(name, _)| *name == word);
            let Some((_, kind)) = known else {
                let names = Self::NAMES.map(|(name, _)| name).join(", ");
                return Err(format!("only={words}: {word:?} is none of {names}; join several by +"));
            };
            Ok(Self(kinds | Self::bit(*kind)))
        })
    }
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| format!("output {text:?}: {reason}"))
    }
}

fn parse(text: &str) -> Result<Output, String> {
    let mut parts = pieces(text);
    let whereto = parts.remove(0);
    // A path may hold a `=`, too: what stands before it is a format only if it is one's name.
    let (format, whereto) = match whereto.split_once('=') {
        Some((name, rest)) if Format::named(name).is_some() => (Format::named(name), rest.to_owned()),
        _ => (None, whereto),
    };
    let mut options = Given::default();
    for part in &parts {
        options.take(part)?;
    }
    let Given { only, mode, group, rotate, keep, facility } = options;
    let file_option = || {
        let given = [
            ("mode", mode.is_some()),
            ("group", group.is_some()),
            ("rotate", rotate.is_some()),
            ("keep", keep.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    };
    let none_of_files = |what: &str| match file_option() {
        Some(option) => Err(format!("{option}= is for files, and this is {what}")),
        None => Ok(()),
    };
    let to = match whereto.as_str() {
        "" => return Err("it does not say whereto: a file, `-`, or unix:, udp://, tcp://, tls://".to_owned()),
        "-" => none_of_files("standard output").map(|()| To::Stdout)?,
        // More likely the next option, and the value forgotten.
        dashed if format.is_none() && dashed.starts_with('-') => {
            return Err(format!("{dashed} looks like an option; a file of that name is written ./{dashed}"));
        }
        // Whoever forgets the slashes means no file in this folder.
        target
            if target.contains("://")
                || ["unix:", "udp:", "tcp:", "tls:"].iter().any(|way| target.starts_with(way)) =>
        {
            none_of_files("a syslog receiver")?;
            let target = target.parse::<Target>().map_err(|error| error.to_string())?;
            To::Syslog { target, facility: facility.unwrap_or(Facility::LOCAL0) }
        }
        file => {
            // Its spool is found by its name, wherever the daemon is started, and no file is to have two.
            let path = path::absolute(file).map_err(|error| format!("it is not known where {file} is: {error}"))?;
            if keep.is_some() && rotate.is_none() {
                return Err("keep= says how many rotated files stay, and nothing rotates without rotate=".to_owned());
            }
            To::File(FileOptions {
                mode,
                group,
                rotate_bytes: rotate,
                keep: keep.unwrap_or(DEFAULT_KEEP),
                ..FileOptions::new(path)
            })
        }
    };
    if facility.is_some() && !to.remote() {
        return Err("facility= is for syslog receivers".to_owned());
    }
    Ok(Output { format: format.unwrap_or(Format::Json), only: only.unwrap_or(Kinds::ALL), to })
}

/// The options that were given.
#[derive(Default)]
struct Given {
    only: Option<Kinds>,
    mode: Option<u32>,
    group: Option<u32>,
    rotate: Option<u64>,
    keep: Option<u32>,
    facility: Option<Facility>,
}

impl Given {
    fn take(&mut self, part: &str) -> Result<(), String> {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!("{part:?} is no OPTION=VALUE; a comma in a path is written \\,"));
        };
        match name {
            "only" => once(name, &mut self.only, Kinds::parse(value)?),
            "mode" => once(name, &mut self.mode, mode(value)?),
            "group" => once(name, &mut self.group, group(value)?),
            "rotate" => once(
                name,
                &mut self.rotate,
                size(value)
                    .filter(|bytes| *bytes > 0)
                    .ok_or_else(|| format!("rotate={value} is no number of bytes, such as 500000, 64K, 100M or 2G"))?,
            ),
            "keep" => once(
                name,
                &mut self.keep,
                value
                    .parse()
                    .ok()
                    .filter(|keep| *keep <= MOST_KEPT)
                    .ok_or_else(|| format!("keep={value} is no number from 0 to {MOST_KEPT}"))?,
            ),
            "facility" => once(name, &mut self.facility, value.parse::<Facility>().map_err(|error| error.to_string())?),
            _ => Err(format!("there is no option {name:?}: only, mode, group, rotate, keep, facility")),
        }
    }
}

/// Most rotated files: each rotation renames them all.
const MOST_KEPT: u32 = 999;

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        Some(_) => Err(format!("{name}= is there twice")),
        None => Ok(()),
    }
}

/// The pieces between commas; a backslash takes the special meaning from the character behind it.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == ',' {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.extend(if letter == '\\' { letters.next().or(Some(letter)) } else { Some(letter) });
        }
    }
    pieces
}

/// A number of bytes, perhaps with K, M or G behind it for powers of 1024.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse::<u64>().ok()?.checked_mul(1 << shift)).flatten()
}

/// Permission bits, in octal.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
    mode.ok_or_else(|| format!("mode={text} is no octal number up to 777"))
}

/// The id of a group, by number or by its name in /etc/group.
fn group(text: &str) -> Result<u32, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let groups =
        fs::read_to_string("/etc/group").map_err(|error| format!("group={text}: cannot read /etc/group: {error}"))?;
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(text)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.ok_or_else(|| format!("group={text} is no group of /etc/group, and no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Output {
        text.parse().unwrap()
    }

    fn file(path: &str) -> FileOptions {
        FileOptions::new(path)
    }

    #[test]
    fn a_plain_path_is_a_file_of_json() {
        let plain = Output { format: Format::Json, only: Kinds::ALL, to: To::File(file("/var/log/a=b")) };
        assert_eq!(output("/var/log/a=b"), plain);
        assert_eq!(output("json=/var/log/a=b"), plain);
        assert_eq!(output(r"/a\,b\\c").to, To::File(file(r"/a,b\c")));
        assert_eq!(output("-").to, To::Stdout);
    }

    #[test]
    fn options_say_how_and_what() {
        let given = output("/tmp/x,mode=0600,group=0,rotate=100M,keep=2,only=calls+findings");
        let options =
            FileOptions { mode: Some(0o600), group: Some(0), rotate_bytes: Some(100 << 20), keep: 2, ..file("/tmp/x") };
        assert_eq!(given.to, To::File(options));
        let kinds = [Kind::Call, Kind::Control, Kind::Use, Kind::Finding, Kind::Health, Kind::Aggregate];
        assert_eq!(kinds.map(|kind| given.only.has(kind)), [true, false, false, true, false, false]);
        assert!(kinds.into_iter().all(|kind| Kinds::ALL.has(kind)));
        assert_eq!(output("/tmp/x,group=root").to, output("/tmp/x,group=0").to);
        let To::Syslog { target, facility } = output("json=tls://siem:6514?ca=/a.pem,facility=auth,only=findings").to
        else {
            panic!("no receiver")
        };
        assert_eq!((target.to_string().as_str(), facility), ("tls://siem:6514", "auth".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (wrong, word) in [
            ("", "whereto"),
            ("json=", "whereto"),
            ("-,mode=0600", "mode= is for files"),
            ("--policy", "looks like an option"),
            ("tcp://h,rotate=1M", "rotate= is for files"),
            ("/x,facility=local0", "facility="),
            ("/x,keep=3", "rotate="),
            ("/x,rotate=0", "rotate=0"),
            ("/x,rotate=1T", "rotate=1T"),
            ("/x,rotate=99999999999G", "rotate="),
            ("/x,rotate=1M,keep=1000", "keep=1000"),
            ("/x,mode=8", "mode=8"),
            ("/x,mode=1777", "mode=1777"),
            ("/x,group=no such group", "/etc/group"),
            ("/x,only=calls+bogus", "bogus"),
            ("/x,only=", "only="),
            ("/x,y", "OPTION=VALUE"),
            ("/x,size=3", "size"),
            ("/x,mode=600,mode=600", "twice"),
            ("http://h", "http"),
            ("tcp://h:0", "port"),
            ("tcp:h:514", "tcp://"),
        ] {
            let error = wrong.parse::<Output>().unwrap_err();
            assert!(error.contains(word) && error.contains(&format!("{wrong:?}")), "{wrong}: {error}");
        }
    }

    #[test]
    fn sizes_are_bytes() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("64K", Some(65_536)),
            ("2G", Some(2 << 30)),
            ("", None),
            ("K", None),
            ("-1", None),
            ("1k", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}

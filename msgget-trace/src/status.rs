//! What a running daemon says of itself when it is asked: a status goes out as one JSON object, comes in again at whoever
//! asked, and is shown to people.

use std::{fmt, io, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};
use thiserror::Error;

use crate::event::OutputState;

/// Where a daemon listens if nothing else is said.
pub const SOCKET: &str = "/run/msgget-trace.sock";

/// The longest answer that is read, bytes; a real one has some 2000.
pub const LONGEST: usize = 64 << 10;

/// How a running daemon is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Identity of the run; the `id` of its health records begins with it.
    pub run_id: String,
    /// Of the daemon, in its own pid namespace.
    pub process_id: u32,
    /// Since when it traces, ns since 1970.
    pub since: u64,
    /// The hooks in use.
    pub hook: String,
    /// What they cannot see.
    pub coverage_gap: String,
    /// Whether the last word on it was `degraded`.
    pub degraded: bool,
    /// Where the lines go, and what has become of them.
    pub outputs: Vec<OutputState>,
    /// Digest of the policy files, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// The exceptions, and what each has kept back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Suppressed>,
    /// Every counter, as of the moment of the answer.
    pub balance: Numbers,
}

/// An exception of the policies.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// What it is called.
    pub name: String,
    /// Findings that it has kept back.
    pub suppressed: u64,
}

/// Names and numbers in their order: an object in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(pub Vec<(String, u64)>);

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, number) in &self.0 {
            map.serialize_entry(name, number)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Numbers, A::Error> {
                let mut numbers = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    numbers.push(entry);
                }
                Ok(Numbers(numbers))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Status {
    /// As it travels and as `--json` shows it: one line.
    #[must_use]
    pub fn line(&self) -> String {
        // Strings and numbers always can be written.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// A word on each counter, for people.
const WORDS: [(&str, &str); 41] = [
    ("seen", "calls whose return the kernel side saw"),
    ("submitted", "of these, put into the ring"),
    ("aggregated", "of these, past a budget and only counted"),
    ("lost", "of these, without room in the ring"),
    ("out_of_scope", "of these, in no policy's scope and left in the kernel"),
    ("skipped", "calls at most that the kernel kept from the hooks"),
    ("halves_skipped", "runs of other hooks that it skipped"),
    ("abandoned", "calls left in rings of daemons before that could not be read"),
    ("read", "records taken out of the ring"),
    ("rejected", "of these, not understood: a defect"),
    ("canaries", "of these, the daemon's own calls"),
    ("early", "of these, from before the hooks were trusted or after others took over"),
    ("witnesses", "of these, calls of others that tell what wanted ones did"),
    ("delivered", "of these, calls that are out as a line"),
    ("unwanted", "of these, calls and controls that no policy wants"),
    ("found", "findings of all rules"),
    ("findings", "of these, out as a line"),
    ("findings_unwanted", "of these, wanted by no policy"),
    ("suppressed", "of these, kept back by an exception"),
    ("health", "lines about the sensor itself"),
    ("aggregates", "lines of counted calls"),
    ("attributed", "calls in those that say whose"),
    ("unattributed", "calls in the others"),
    ("ambiguous", "of the calls, outcome open"),
    ("unpaired", "of the calls, entry not seen"),
    ("not_executed", "of the calls, answered in the kernel's place"),
    ("collisions", "entries that overwrote another thread's"),
    ("facts_lost", "facts about calls without room; these calls say less"),
    ("not_followed", "forks that exec could not follow"),
    ("controls_seen", "removals and changes of queues that the kernel side saw"),
    ("controls_submitted", "of these, put into the ring"),
    ("controls_lost", "of these, without room in the ring"),
    ("controls", "of these, out as a line"),
    ("uses_seen", "uses of queues that were not there, as the kernel side saw them (--stale-ids)"),
    ("uses_submitted", "of these, put into the ring"),
    ("uses_past_budget", "of these, past a budget and only counted"),
    ("uses_lost", "of these, without room in the ring"),
    ("uses", "of these, out as a line"),
    ("contexts_submitted", "announcements of programs put into the ring"),
    ("contexts_lost", "announcements without room; they are repeated"),
    ("contexts", "announcements that were read"),
];

/// For people.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degraded = if self.degraded { "yes: see the last `degraded` line of the output" } else { "no" };
        for (name, value) in [
            ("version", shown(&self.version)),
            ("run", shown(&self.run_id)),
            ("process", self.process_id.to_string()),
            ("since", moment(self.since)),
            ("hook", shown(&self.hook)),
            ("coverage gap", shown(&self.coverage_gap)),
            ("degraded", degraded.to_owned()),
        ] {
            writeln!(f, "{name:<14}{value}")?;
        }
        for output in &self.outputs {
            writeln!(f, "{:<14}{}", "output", Shown(output))?;
        }
        if let Some(digest) = &self.policy_digest {
            writeln!(f, "{:<14}{}", "policy", shown(digest))?;
        }
        for Suppressed { name, suppressed } in &self.exceptions {
            writeln!(f, "{:<14}{} has kept back {suppressed} findings", "exception", shown(name))?;
        }
        writeln!(f)?;
        let Numbers(numbers) = &self.balance;
        let name_width = numbers.iter().map(|(name, _)| shown(name).chars().count()).max().unwrap_or_default();
        let number_width = numbers.iter().map(|(_, number)| number.to_string().len()).max().unwrap_or_default();
        for (name, number) in numbers {
            let word = WORDS.iter().find(|(known, _)| known == name).map_or("", |(_, word)| word);
            let line = format!("{:<name_width$}  {number:>number_width$}  {word}", shown(name));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// An output, its numbers as far as they are not 0.
struct Shown<'a>(&'a OutputState);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutputState { name, format, told, inherited, delivered, waiting, .. } = self.0;
        let OutputState { dropped, expired, damaged, refused, trouble, .. } = self.0;
        write!(f, "{} ({}): {told} lines", shown(name), shown(format))?;
        for (number, word) in [
            (inherited, "of a run before"),
            (delivered, "delivered"),
            (waiting, "waiting"),
            (dropped, "dropped"),
            (expired, "expired"),
            (damaged, "damaged"),
            (refused, "refused"),
        ] {
            if *number > 0 {
                write!(f, ", {number} {word}")?;
            }
        }
        trouble.iter().try_for_each(|trouble| write!(f, "; it does not work: {}", shown(trouble)))
    }
}

/// `text` without anything a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// ns since 1970 as `2026-11-22T03:17:46Z`.
fn moment(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970_u64;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // At most 585 rounds: so many years are 2^64 ns.
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

/// Why there is no status to show. The text says what to do.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error(
        "no daemon listens at {path} ({error}); start `msgget-trace run`, or name the socket of one that runs by --socket"
    )]
    NoDaemon {
        /// Where it was looked.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// We may not connect.
    #[error("{path} may be used by root and by the daemon's own user alone ({error}); run this as root")]
    Denied {
        /// Which socket.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// Somebody else listens.
    #[error(
        "who listens at {path} is neither root nor you but user {uid}, so nothing it says is believed; name the daemon's \
         socket by --socket"
    )]
    Stranger {
        /// Which socket.
        path: PathBuf,
        /// Effective user id of the listener.
        uid: u32,
    },
    /// It is none of our daemons, or one of a very different version.
    #[error("what answers at {path} is no status of a msgget-trace ({error}); name the daemon's socket by --socket")]
    Garbage {
        /// Which socket.
        path: PathBuf,
        /// What is wrong with the answer.
        error: String,
    },
    /// Nothing came.
    #[error(
        "the daemon at {path} has not answered within {seconds} s; is it stopped, or the machine overloaded? Try again"
    )]
    Late {
        /// Which socket.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn status() -> Status {
        let numbers = [("seen", 12_345), ("lost", 0), ("of_tomorrow", 7)];
        Status {
            version: "0.1.0".into(),
            run_id: "01a2014c".into(),
            process_id: 17,
            since: 1_795_310_723_793_016_621,
            hook: "tp_btf".into(),
            coverage_gap: "none".into(),
            degraded: false,
            outputs: vec![
                OutputState {
                    format: "json".into(),
                    told: 9,
                    delivered: 9,
                    name: "-".into(),
                    ..OutputState::default()
                },
                OutputState {
                    name: "/tmp/a\x1b[2Jb".into(),
                    format: "ecs".into(),
                    told: 9,
                    delivered: 4,
                    waiting: 6,
                    inherited: 1,
                    trouble: Some("it is\nfull".into()),
                    ..OutputState::default()
                },
            ],
            policy_digest: Some("5b1d".into()),
            exceptions: vec![Suppressed { name: "old-spooler".into(), suppressed: 3 }],
            balance: Numbers(numbers.map(|(name, number)| (name.to_owned(), number)).to_vec()),
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let line = status().line();
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert_eq!(Status::parse(line.as_bytes()).unwrap(), status());
        let (head, _) = line.split_at(line.len() / 2);
        for garbage in ["", "{}", "null", "HTTP/1.1 400 Bad Request\r\n", head] {
            assert!(Status::parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn people_get_a_table_and_no_control_character() {
        let text = status().to_string();
        let spooler = "exception     old-spooler has kept back 3 findings";
        let seen = "seen         12345  calls whose return the kernel side saw";
        let lost = "lost             0  of these, without room in the ring";
        let well = "output        - (json): 9 lines, 9 delivered";
        let ill = "output        /tmp/a\\u{1b}[2Jb (ecs): 9 lines, 1 of a run before, 4 delivered, 6 waiting; it does not work: it is\\nfull";
        for line in ["since         2026-11-22T01:25:23Z", well, ill, spooler, seen, lost] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in:\n{text}");
        }
        assert!(text.ends_with("of_tomorrow      7\n"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn there_is_a_word_on_every_counter_and_on_nothing_else() {
        let names: Vec<_> = Ledger::default().balance().into_iter().map(|(name, _)| name).collect();
        assert_eq!(WORDS.map(|(name, _)| name).to_vec(), names);
    }

    #[test]
    fn moments_are_those_of_date() {
        // As `date -u -d @N +%FT%TZ` shows them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment(seconds * 1_000_000_000), text);
        }
        assert_eq!(moment(u64::MAX), "2554-07-21T23:34:33Z");
    }
}

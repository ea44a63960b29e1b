//! Lines are taken apart by the places of their columns, and fed with hostile names.

use std::sync::Arc;

use proptest::prelude::*;
use unicode_width::UnicodeWidthChar as _;

use super::{
    row::{Column, columns},
    *,
};
use crate::{
    detect::Tags,
    encode::{
        Format,
        escape::unescape,
        sample::{calls, each, finding, golden, named, news, sensor, who},
    },
    enrich::Who,
    event::{Image, sample},
    policy::Matched,
};

const PLAIN: Table = Table { width: None, colour: false };

fn lines(table: Table, item: &Item<'_>, sequence: u64) -> String {
    let mut out = Vec::new();
    Format::Table(table).line(item, &sensor(), sequence, &mut out);
    String::from_utf8(out).unwrap()
}

/// What stands in `column` of `line`, found by its place alone.
fn cell(line: &str, column: Column) -> String {
    let before: usize = Column::ALL.iter().take_while(|next| **next != column).map(|next| next.width() + 1).sum();
    let mut place = 0;
    let within = line.chars().filter(|char| {
        let here = place;
        place += char.width().unwrap_or_default();
        (before..before + column.width()).contains(&here)
    });
    within.collect::<String>().trim_end().to_owned()
}

#[test]
fn golden_lines() {
    let (mut wide, mut narrow, mut sequence) = (String::new(), String::new(), 0);
    each(|_, item, _| {
        sequence += 1;
        wide += &lines(PLAIN, item, sequence);
        narrow += &lines(Table { width: Some(80), colour: true }, item, sequence);
    });
    golden("table/wide.txt", &wide);
    golden("table/80_columns_colour.txt", &narrow);
}

#[test]
fn columns_say_what_the_call_says() {
    let who = who();
    let calls = calls();
    let line = |name: &str| {
        let (_, call) = calls.iter().find(|(other, _)| *other == name).unwrap();
        lines(PLAIN, &Item::Call { call, who: &who, tags: Tags::default(), policies: Matched::NONE }, 2)
    };
    let created = line("created");
    for (column, content) in [
        (Column::Mark, ""),
        (Column::Time, "12:58:30.000"),
        (Column::Pid, "41237"),
        (Column::User, "alice>root"),
        (Column::Comm, "ipcworker"),
        (Column::Key, "PRIVATE"),
        (Column::Outcome, "created 32769"),
        (Column::Call, "get 0600"),
        (Column::Owner, "0:1002 0600"),
    ] {
        assert_eq!(cell(&created, column), content, "{column:?}");
    }
    assert_eq!(cell(&line("failed"), Column::Outcome), "failed ENOENT");
    assert_eq!(cell(&line("failed"), Column::Owner), "");
    assert_eq!(cell(&line("ambiguous"), Column::Key), "0xdeadbeef");
    assert_eq!(cell(&line("ambiguous"), Column::Call), "get CREAT|0666");
    assert_eq!(cell(&line("opened"), Column::Owner), "1000:1001 0640");
    assert_eq!(cell(&line("unpaired"), Column::Call), "get CREAT|EXCL|NOWA…");
}

#[test]
fn kinds_are_told_apart_at_a_glance() {
    let mut marks = Vec::new();
    each(|_, item, _| {
        let plain = lines(PLAIN, item, 2);
        let colour = lines(Table { width: None, colour: true }, item, 2);
        marks.push((plain.chars().next().unwrap(), item.kind()));
        assert_eq!(colour.contains('\x1b'), plain.starts_with(['!', '*', '+']), "{colour:?}");
        let stripped = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(&colour, "").into_owned();
        assert_eq!(stripped, plain);
    });
    marks.dedup();
    assert_eq!(marks.iter().map(|(mark, _)| mark).collect::<String>(), "   !*+", "{marks:?}");
}

#[test]
fn a_heading_stands_above_every_fortieth_line() {
    let (_, health) = &news()[0];
    let item = &Item::Health { health, nth: 1 };
    let headings: Vec<u64> = (1..=100).filter(|nth| lines(PLAIN, item, *nth).lines().count() == 2).collect();
    assert_eq!(headings, [1, 41, 81]);
    let text = lines(PLAIN, item, 1);
    let heading = text.lines().next().unwrap();
    assert_eq!(cell(heading, Column::Time), "2026-08-01 Z");
    assert_eq!(cell(heading, Column::Outcome), "OUTCOME");
}

#[test]
fn a_line_without_room_says_nothing() {
    let (_, health) = &news()[0];
    let text = lines(Table { width: Some(0), colour: false }, &Item::Health { health, nth: 1 }, 2);
    assert_eq!(text, "\n");
}

#[test]
fn moments_no_calendar_has_are_shown_all_the_same() {
    assert_eq!(clock("%Y-%m-%d %H:%M:%S%.3f", u64::MAX), "2554-07-21 23:34:33.709");
    assert_eq!(clock("%!", 0), "1970-01-01T00:00:00Z", "a format that is none");
}

fn without_last_blanks(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1)]
}

proptest! {
    #[test]
    fn no_name_leaves_its_place(
        comm: [u8; 15],
        words in "[a-z\u{1b}\u{9b}\u{7f}\u{202e}\u{2066}\u{200b}\n\r\t\\\\ ü漢]{0,12}",
        path: Vec<u8>,
        user: Vec<u8>,
        colour: bool,
        width in 0u16..200,
    ) {
        let mut call = named();
        call.caller.image = Some(Arc::new(Image { path: Some([&path, words.as_bytes()].concat()), ..sample::image() }));
        call.caller.comm[..15].copy_from_slice(&comm);
        let written = words.as_bytes();
        let fits = written.len().min(15);
        if colour {
            call.caller.comm[..fits].copy_from_slice(&written[..fits]);
        }
        call.caller.euid = call.caller.uid;
        let who = Who { user: Some(&user), ..who() };
        let mut finding = finding();
        finding.event = call.clone().into();
        for item in [
            Item::Call { call: &call, who: &who, tags: Tags::default(), policies: Matched::NONE },
            Item::Finding { finding: &finding, who: &who, tags: Tags::default(), policies: Matched::NONE },
        ] {
            let line = lines(PLAIN, &item, 2);
            prop_assert_eq!(line.find(|char: char| char.is_control()), Some(line.len() - 1), "{:?}", line);
            let hidden = |char: char| char != '\n' && char.width() == Some(0);
            prop_assert!(!line.contains(hidden), "{:?}", line);
            for (column, bytes) in [(Column::Comm, crate::event::before_nul(&call.caller.comm)), (Column::User, &user)] {
                let shown = cell(&line, column);
                match shown.strip_suffix('…') {
                    // What was cut is a beginning.
                    Some(start) => prop_assert!(crate::encode::escape::Visible(bytes).to_string().starts_with(start)),
                    // Blanks at the end are those of the column, too.
                    None => prop_assert_eq!(unescape(&shown).unwrap(), without_last_blanks(bytes)),
                }
            }
            prop_assert_eq!(cell(&line, Column::Pid), "41237");

            let cut = lines(Table { width: Some(width), colour: false }, &item, 2);
            prop_assert!(columns(cut.trim_end_matches('\n')) <= usize::from(width));
            let coloured = lines(Table { width: Some(width), colour }, &item, 2);
            let bare = coloured.replace("\x1b[1;31m", "").replace("\x1b[33m", "").replace("\x1b[0m", "");
            prop_assert_eq!(bare, cut);
        }
        let line = lines(PLAIN, &Item::Call { call: &call, who: &who, tags: Tags::default(), policies: Matched::NONE }, 2);
        let (_, exe) = line.trim_end_matches('\n').split_once("exe=").unwrap();
        let (exe, _) = exe.rsplit_once(" container=").unwrap();
        prop_assert_eq!(unescape(exe).unwrap(), [&path, words.as_bytes()].concat());
    }
}

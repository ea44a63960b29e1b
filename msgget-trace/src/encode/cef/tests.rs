//! Lines against a reader of the format that shares nothing with the encoder, and against hostile names.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::{
    encode::{
        Format, Kind,
        escape::unescape,
        sample::{each, finding, golden, sensor, who},
    },
    event::{Errno, Event, Outcome, sample},
    policy::Matched,
};

/// A line, taken apart.
#[derive(Debug)]
struct Parsed {
    header: Vec<String>,
    extension: BTreeMap<String, String>,
}

/// Reads a line, and refuses whatever the format does not allow. Where the encoder goes from left to right, this finds the
/// marks (bars, equals signs) that no backslash covers, and cuts there.
fn parse(line: &str) -> Result<Parsed, String> {
    let line = line.strip_suffix('\n').ok_or("no line")?;
    if let Some(control) = line.chars().find(|char| char.is_control()) {
        return Err(format!("{control:?} in the line"));
    }
    let mut bars = bare(line, '|');
    bars.truncate(7);
    if bars.len() < 7 {
        return Err(format!("{} bars", bars.len()));
    }
    let starts = std::iter::once(0).chain(bars.iter().map(|bar| bar + 1));
    let header = starts.zip(&bars).map(|(start, end)| uncover(&line[start..*end], "\\|")).collect::<Result<_, _>>()?;

    let text = &line[bars[6] + 1..];
    let key = Regex::new("(?:^| )([A-Za-z0-9]+)$").unwrap();
    let mut fields = Vec::new();
    for sign in bare(text, '=') {
        let found = key.captures(&text[..sign]).ok_or_else(|| format!("no key before {:?}", &text[sign..]))?;
        let (whole, name) = (found.get(0).unwrap(), found.get(1).unwrap().as_str());
        fields.push((whole.start(), name, sign + 1));
    }
    if fields.first().is_none_or(|(start, _, _)| *start != 0) {
        return Err("text before the first key".to_owned());
    }
    let mut extension = BTreeMap::new();
    for (nth, (_, name, start)) in fields.iter().enumerate() {
        let end = fields.get(nth + 1).map_or(text.len(), |(next, _, _)| *next);
        if extension.insert((*name).to_owned(), uncover(&text[*start..end], "\\=nr")?).is_some() {
            return Err(format!("{name} twice"));
        }
    }
    Ok(Parsed { header, extension })
}

/// Where `mark` stands and an even number of backslashes before it.
fn bare(text: &str, mark: char) -> Vec<usize> {
    let covered = |place: usize| text[..place].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    text.match_indices(mark).map(|(place, _)| place).filter(|place| !covered(*place)).collect()
}

/// Takes the backslashes away that stand before one of `allowed`; there may be no others.
fn uncover(text: &str, allowed: &str) -> Result<String, String> {
    let mut plain = String::new();
    for piece in Regex::new(r"(?s)\\.?|[^\\]+").unwrap().find_iter(text) {
        plain.push_str(match piece.as_str().strip_prefix('\\') {
            None => piece.as_str(),
            Some(covered) if covered.is_empty() || !allowed.contains(covered) => {
                return Err(format!("{:?} means nothing", piece.as_str()));
            }
            Some("n") => "\n",
            Some("r") => "\r",
            Some(covered) => covered,
        });
    }
    Ok(plain)
}

fn told(finding: &Finding, who: &Who<'_>) -> String {
    let mut out = Vec::new();
    let item = Item::Finding { finding, who, tags: crate::detect::Tags::default(), policies: Matched::NONE };
    Format::Cef.line(&item, &sensor(), 3, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn golden_line() {
    let mut finding = finding();
    finding.event.caller_mut().image = Some(Arc::new(sample::image()));
    golden("cef/check_then_create.cef", &told(&finding, &who()));
}

#[test]
fn says_what_the_finding_says() {
    let mut finding = finding();
    let Event::Call(call) = &mut finding.event else { panic!() };
    call.outcome = Outcome::Failed(Errno::EEXIST);
    call.result = -17;
    let Parsed { header, extension } = parse(&told(&finding, &who())).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let wanted = ["CEF:0", "msgget-trace project", "msgget-trace", version, "MSGGET-3", "check_then_create", "8"];
    assert_eq!(header, wanted);
    for (key, value) in [
        ("rt", "1785589110000"),
        ("start", "1785589110000"),
        ("externalId", "d3b35465-3772-5f1e-9de5-7d1e1775848a"),
        ("deviceExternalId", "0123456789abcdef0123456789abcdef"),
        ("msggetTraceSequence", "3"),
        ("act", "failed"),
        ("outcome", "failure"),
        ("reason", "EEXIST"),
        ("suid", "1000"),
        ("suser", "alice"),
        ("duid", "0"),
        ("duser", "root"),
        ("spid", "41237"),
        ("sproc", "ipcworker"),
        ("cs1Label", "key"),
        ("cs1", "0x0000002a"),
        ("cs2", "IPC_CREAT|0600"),
        ("cs5", "00000000-0000-0000-0000-000000000007-4096 00000000-0000-0000-0000-000000000007-4272"),
        ("cn2Label", "windowNs"),
        ("cn2", "9300"),
        ("cn3Label", "windowMaxNs"),
        ("msg", &finding.summary),
    ] {
        assert_eq!(extension.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(!extension.contains_key("cn1"), "a refused call has no queue");
    assert!(!extension.contains_key("filePath") && !extension.contains_key("cs6"), "nothing is known of the program");
}

#[test]
fn every_custom_value_has_a_label_and_every_label_a_value() {
    let Parsed { extension, .. } = parse(&told(&finding(), &who())).unwrap();
    let custom = Regex::new("^(c[sn][1-6])(Label)?$").unwrap();
    let keys: Vec<_> = extension.keys().filter_map(|key| custom.captures(key)).collect();
    assert!(keys.len() >= 14, "{extension:?}");
    for found in keys {
        let other = if found.get(2).is_some() { found[1].to_owned() } else { format!("{}Label", &found[1]) };
        assert!(extension.contains_key(&other), "{other}");
    }
}

#[test]
fn tells_of_findings_only() {
    each(|name, item, sensor| {
        let mut out = Vec::new();
        Format::Cef.line(item, sensor, 1, &mut out);
        assert_eq!(out.is_empty(), item.kind() != Kind::Finding, "{name}");
        assert_eq!(out.is_empty(), !Format::Cef.tells(item.kind()), "{name}");
        assert!(Format::Json.tells(item.kind()), "{name}");
    });
}

#[test]
fn severities_rise() {
    let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical].map(level);
    assert!(all.is_sorted() && all[4] == 10, "{all:?}");
}

#[test]
fn headers_hold_anything() {
    let text = r"a|b\c";
    let line = format!("CEF:0|{}|2|3|4|5|6|k=v\n", Header(format_args!("{text}\nd")));
    assert_eq!(parse(&line).unwrap().header[1], format!("{text} d"));
}

#[test]
fn the_reader_is_strict() {
    for bad in [
        "CEF:0|1|2|3|4|5|6|a=b",
        "CEF:0|1|2|3|4|5|a=b\n",
        "CEF:0|1|2|3|4|5|6|a=b c=d a=e\n",
        "CEF:0|1|2|3|4|5|6|a=b=c\n",
        "CEF:0|1|2|3|4|5|6|a=b\\x\n",
        "CEF:0|1|2|3|4|5|6|a=b\\\n",
        "CEF:0|1|2|3|4|5|6|a=b\tc\n",
        "CEF:0|1|2|3|4|5|6|blah a=b\n",
        "CEF:0|1\\=|2|3|4|5|6|a=b\n",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

/// What a field must read as: line breaks have a form of their own, and are not bytes any more.
fn shown(bytes: &[u8], field: Option<&String>) -> bool {
    field.map(|text| unescape(text).unwrap()).unwrap_or_default() == bytes
}

proptest! {
    #[test]
    fn any_name_stays_in_its_field(
        comm: [u8; 15],
        nodename: [u8; 16],
        path: Vec<u8>,
        odd in "[ -~=|\\\\\n\r\t\u{85}ü]{0,24}",
        user in "[ =|\\\\\nsuid]{0,24}",
    ) {
        let mut finding = finding();
        let caller = finding.event.caller_mut();
        caller.comm[..15].copy_from_slice(&comm);
        caller.nodename = Some(nodename);
        caller.image = Some(Arc::new(Image {
            path: Some(path.clone()),
            arguments: Some(format!("a\0{odd}\0b\0").into_bytes()),
            ..sample::image()
        }));
        let who = Who { user: Some(user.as_bytes()), ..who() };
        let line = told(&finding, &who);
        let Parsed { header, extension } = parse(&line).map_err(TestCaseError::fail)?;
        prop_assert_eq!(header.len(), 7);
        prop_assert!(shown(before_nul(&finding.event.caller().comm), extension.get("sproc")), "{}", line);
        prop_assert!(shown(before_nul(&nodename), extension.get("shost")), "{}", line);
        prop_assert!(shown(&path, extension.get("filePath")), "{}", line);
        prop_assert!(shown(user.as_bytes(), extension.get("suser")), "{}", line);
        prop_assert!(shown(format!("a {odd} b").as_bytes(), extension.get("cs6")), "{}", line);
        prop_assert_eq!(extension.get("duser").map(String::as_str), Some("root"));
    }
}

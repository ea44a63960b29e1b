//! Command lines with secrets in them go in.

use proptest::prelude::*;

use super::*;

fn redactor(patterns: &[&str]) -> Redactor {
    Redactor::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// The arguments, one after another, with a bar between.
fn shown(patterns: &[&str], cmdline: &[u8], cut: bool) -> String {
    let arguments = redactor(patterns).arguments(cmdline, cut);
    String::from_utf8_lossy(&arguments.join(&b'|')).into_owned()
}

#[test]
fn without_patterns_the_arguments_are_what_they_are() {
    let arguments = |cmdline: &[u8]| Redactor::default().arguments(cmdline, true);
    assert_eq!(arguments(b""), Vec::<Vec<u8>>::new());
    assert_eq!(arguments(b"\0"), [b""]);
    assert_eq!(arguments(b"a\0\0b\xff\0"), [&b"a"[..], b"", b"b\xff"]);
    assert_eq!(arguments(b"a\0b"), [b"a", b"b"]);
}

#[test]
fn a_match_goes_and_nothing_else_does() {
    let table: &[(&[&str], &[u8], &str)] = &[
        (&[r"sk-\w+"], b"curl\0sk-abc,sk-d\0sk-\0", "curl|[redacted],[redacted]|sk-"),
        (&["(?i)(password|token)=.*"], b"x\0--Password=a b\0y\0", "x|--[redacted]|y"),
        (&["--password=(?<secret>.*)"], b"x\0--password=abc\0", "x|--password=[redacted]"),
        (&["-p(?<secret>x+)?"], b"-pxx\0-p\0", "-p[redacted]|[redacted]"),
        // The ends of an argument, not of a line in it, nor of the command line.
        (&["^secret$"], b"secret\0a secret\0secret\nx\0secret\0", "[redacted]|a secret|secret\nx|[redacted]"),
        (&["secret.*"], b"a secret\nis two\0b\0", "a [redacted]|b"),
        // A class that has NUL in it does not leave the argument.
        (&[r"sk-\S+"], b"sk-a\0b\0", "[redacted]|b"),
        (&[r"k=[^x]+"], b"k=\xff\xfe\0b\0", "[redacted]|b"),
        // Overlapping, touching, empty.
        (&["abc", "cd"], b"xabcdx\0", "x[redacted]x"),
        (&["abcd", "bc"], b"xabcdx\0", "x[redacted]x"),
        (&["a"], b"aaaba\0", "[redacted]b[redacted]"),
        (&["a*"], b"b\0\0", "b|"),
        (&["é"], "né\0".as_bytes(), "n[redacted]"),
    ];
    for (patterns, cmdline, expected) in table {
        assert_eq!(shown(patterns, cmdline, false), *expected, "{patterns:?}");
    }
}

#[test]
fn a_pattern_can_name_the_argument_after() {
    let table: &[(&str, &[u8], &str)] = &[
        (r"^--password\x00(?<secret>.*)", b"x\0--password\0a b\0c\0", "x|--password|[redacted]|c"),
        (r"^-p\x00.*", b"x\0-p\0a\0c\0", "x|[redacted]|[redacted]|c"),
        (r"b\x00\x00c", b"ab\0\0cd\0", "a[redacted]||[redacted]d"),
        (r"b\x00", b"ab\0cd\0", "a[redacted]|cd"),
        (r"\x00c", b"ab\0cd\0", "ab|[redacted]d"),
        (r"^-p\x00(?<secret>.*)", b"-p\0", "-p"),
    ];
    for (pattern, cmdline, expected) in table {
        assert_eq!(shown(&[pattern], cmdline, false), *expected, "{pattern}");
    }
}

#[test]
fn the_argument_that_was_cut_is_withheld() {
    let patterns = &[r"sk-\w{8}"];
    assert_eq!(shown(patterns, b"curl\0sk-abc", true), "curl|[redacted]");
    assert_eq!(shown(patterns, b"curl\0sk-abc", false), "curl|sk-abc");
    assert_eq!(shown(patterns, b"curl\0sk-abc\0", true), "curl|sk-abc");
    assert_eq!(shown(patterns, b"sk-abc", true), "[redacted]");
}

#[test]
fn all_bad_patterns_are_told_with_their_place() {
    let patterns = ["ok", "a[b", "", "(?P<secret>", "x{5,2}", r"\w{1000}{1000}", "[é]", "two\nli(nes"];
    let error = Redactor::new(&patterns.map(str::to_owned)).unwrap_err();
    let places: Vec<_> = error.0.iter().map(|bad| (bad.nth, bad.at)).collect();
    assert_eq!(places, [(2, Some(2)), (3, None), (4, Some(1)), (5, Some(2)), (6, None), (7, Some(2)), (8, None)]);
    let text = error.to_string();
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(text.starts_with("redaction pattern 2, \"a[b\", at character 2: unclosed character class\n"), "{text}");
    assert!(text.contains("redaction pattern 3, \"\": it is empty\n"), "{text}");
    assert!(text.contains("it takes more than 256 KiB\n"), "{text}");
}

#[test]
fn the_number_of_patterns_is_bounded() {
    let patterns = |number| Redactor::new(&vec!["x".to_owned(); number]);
    assert!(patterns(PATTERNS).is_ok());
    assert_eq!(patterns(PATTERNS + 9).unwrap_err().0[0].nth, PATTERNS + 1);
}

proptest! {
    #[test]
    fn no_secret_is_left_and_no_argument_lost(
        parts in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'q'), Just(b'='), any::<u8>()], 0..9), 1..6),
        cut: bool,
    ) {
        let cmdline: Vec<u8> = parts.iter().flat_map(|part| [&part[..], b"\0"].concat()).collect();
        let cmdline = &cmdline[..cmdline.len() - usize::from(cut)];
        let plain = Redactor::default().arguments(cmdline, cut);
        let arguments = redactor(&["q+=", r"q=\x00(?<secret>.+)"]).arguments(cmdline, cut);
        prop_assert_eq!(arguments.len(), plain.len());
        for (argument, plain) in arguments.iter().zip(&plain) {
            prop_assert!(!argument.windows(2).any(|pair| pair == b"q="));
            prop_assert!(argument.len() <= 10 * plain.len());
        }
        // Without the patterns, nothing is changed.
        prop_assert_eq!(redactor(&["never there"]).arguments(cmdline, false), plain);
    }
}

//! A node of a file goes in, what it has to be comes out; if it is something else, that is taken note of.

use super::{
    problem::{Log, quoted},
    yaml::{Kind, Node, Text},
};

/// Longest name, bytes: that of a subdomain.
const NAME: usize = 253;

/// The values of keys, in the order they were asked for.
type Values<'n, const N: usize> = [Option<&'n Node>; N];

/// The values of `names` in `node`, a map; `whole` is what it is.
pub(super) fn fields<'n, const N: usize>(
    node: &'n Node,
    whole: &str,
    names: [&str; N],
    log: &mut Log<'_>,
) -> Values<'n, N> {
    let mut values = [None; N];
    let Kind::Map(pairs) = &node.kind else {
        log.error(node.at, format!("{whole} is a map of {}, and not {}", names.join(", "), node.kind_name()));
        return values;
    };
    for (key, value) in pairs {
        let name = text(key).map(|text| &*text.text);
        let Some(nth) = name.and_then(|name| names.iter().position(|known| *known == name)) else {
            let name = name.map_or_else(|| key.kind_name().to_owned(), quoted);
            log.error(key.at, format!("{whole} has no key {name}; it has {}", names.join(", ")));
            continue;
        };
        match values.get_mut(nth) {
            Some(known @ None) => *known = Some(value),
            _ => log.error(key.at, format!("`{}` stands here twice", names[nth])),
        }
    }
    values
}

/// `value`, unless it is missing or nothing.
pub(super) fn needed<'n>(around: &Node, value: Option<&'n Node>, name: &str, log: &mut Log<'_>) -> Option<&'n Node> {
    let Some(value) = value else {
        log.error(around.at, format!("`{name}` is missing here"));
        return None;
    };
    if matches!(value.kind, Kind::Null) {
        log.error(value.at, format!("`{name}` cannot be empty"));
        return None;
    }
    Some(value)
}

/// Takes note if `value` does not say `what`.
pub(super) fn says(around: &Node, value: Option<&Node>, name: &str, what: &str, log: &mut Log<'_>) {
    let Some(node) = needed(around, value, name, log) else { return };
    if text(node).is_none_or(|text| text.text != what) {
        log.error(node.at, format!("this {name} is not supported; write {what}"));
    }
}

/// The text that `node` is.
pub(super) fn text(node: &Node) -> Option<&Text> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// The same; it is taken note of if it is none.
pub(super) fn string<'n>(node: &'n Node, name: &str, log: &mut Log<'_>) -> Option<&'n Text> {
    let found = text(node);
    if found.is_none() {
        log.error(node.at, format!("`{name}` is a text, and not {}", node.kind_name()));
    }
    found
}

/// A text for people, of at most `most` bytes.
pub(super) fn words(node: &Node, name: &str, most: usize, log: &mut Log<'_>) -> Option<String> {
    let text = string(node, name, log)?.text.trim();
    if text.is_empty() || text.len() > most {
        log.error(node.at, format!("`{name}` has from 1 to {most} bytes"));
        return None;
    }
    Some(text.to_owned())
}

/// The parts of a list, of which there must be some.
pub(super) fn list<'n>(node: &'n Node, name: &str, log: &mut Log<'_>) -> &'n [Node] {
    match &node.kind {
        Kind::List(nodes) if nodes.is_empty() => log.error(node.at, format!("`{name}` cannot be empty")),
        Kind::List(nodes) => return nodes,
        _ => log.error(node.at, format!("`{name}` is a list, and not {}", node.kind_name())),
    }
    &[]
}

/// A name as Kubernetes has them (RFC 1123, subdomain).
pub(super) fn policy_name(node: &Node, log: &mut Log<'_>) -> Option<String> {
    let name = words(node, "name", NAME, log)?;
    let plain = |part: &str| {
        let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    if !name.split('.').all(plain) {
        let what = "is no name: write a-z, 0-9 and - or . between them, as ipc-watch";
        log.error(node.at, format!("{} {what}", quoted(&name)));
        return None;
    }
    Some(name)
}

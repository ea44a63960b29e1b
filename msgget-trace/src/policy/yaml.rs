//! The bytes of a file go in, a tree of texts, lists and maps comes out, each with its place; or the place of what is no YAML.
//! JSON is YAML, so it is read the same way.
//!
//! The parser is saphyr's. Here its events become a tree, within bounds: aliases are copies, and those of copies would grow
//! without end.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::problem::At;

/// Deepest nesting; a policy has 5.
const DEEPEST: usize = 24;

/// Most nodes of a file, copies included.
const NODES: usize = 50_000;

/// A part of a document.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: At,
    pub(super) kind: Kind,
    /// Nodes in it, itself included.
    size: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Text(Text),
    List(Vec<Node>),
    /// Keys in their order, doubles included.
    Map(Vec<(Node, Node)>),
}

/// A scalar. What YAML would take for a number or a truth is a text, too: who reads it knows what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Where its first character stands, if all of it stands there as it is.
    start: Option<At>,
    /// Where the scalar begins.
    at: At,
}

impl Text {
    /// Where its `nth` character stands, or the text does.
    pub(super) fn at(&self, nth: usize) -> At {
        self.start.map_or(self.at, |At { line, column }| At { line, column: column + nth })
    }

    /// Where its `byte`th byte stands, or the text does.
    pub(super) fn at_byte(&self, byte: usize) -> At {
        self.at(self.text.char_indices().take_while(|(index, _)| *index < byte).count())
    }
}

impl Node {
    pub(super) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// A list or map that is not complete.
struct Open {
    at: At,
    anchor: usize,
    map: bool,
    nodes: Vec<Node>,
}

/// The documents in `bytes`; nothing of what follows an error.
pub(super) fn documents(bytes: &[u8]) -> Result<Vec<Node>, (At, String)> {
    let text = text(bytes)?;
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| (at(*error.marker()), format!("this is no YAML: {}", error.info())))?;
        tree.take(event, span).map_err(|what| (at(span.start), what))?;
    }
    Ok(tree.documents)
}

fn text(bytes: &[u8]) -> Result<&str, (At, String)> {
    str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        (At { line, column }, "this byte is not UTF-8, which policy files are written in".to_owned())
    })
}

fn at(mark: Marker) -> At {
    At { line: mark.line().max(1), column: mark.col() + 1 }
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    anchors: Vec<(usize, Node)>,
    documents: Vec<Node>,
    nodes: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, _) => self.add(scalar(text.into_owned(), style, span), anchor, 1),
            Event::Alias(anchor) => {
                let copied = self.anchors.iter().rev().find(|(id, _)| *id == anchor).map(|(_, node)| node.clone());
                let node = copied.ok_or_else(|| "this alias stands inside of what it is one of".to_owned())?;
                let size = node.size;
                self.add(Node { at: at(span.start), ..node }, 0, size)
            }
            Event::SequenceStart(anchor, _) => self.begin(span, anchor, false),
            Event::MappingStart(anchor, _) => self.begin(span, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, map: bool) -> Result<(), String> {
        if self.open.len() == DEEPEST {
            return Err(format!("this is nested more than {DEEPEST} deep, which no policy needs"));
        }
        self.open.push(Open { at: at(span.start), anchor, map, nodes: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { at, anchor, map, nodes }) = self.open.pop() else { return Ok(()) };
        let size = 1 + nodes.iter().map(|node| node.size).sum::<usize>();
        let kind = if map {
            let mut pairs = Vec::with_capacity(nodes.len() / 2);
            let mut nodes = nodes.into_iter();
            while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                pairs.push((key, value));
            }
            Kind::Map(pairs)
        } else {
            Kind::List(nodes)
        };
        self.add(Node { at, kind, size }, anchor, 1)
    }

    /// Puts `node` where it belongs, which makes so many more of them.
    fn add(&mut self, node: Node, anchor: usize, more: usize) -> Result<(), String> {
        self.nodes += more + if anchor == 0 { 0 } else { node.size };
        if self.nodes > NODES {
            return Err(format!("this file has more than {NODES} nodes, aliases counted as what they stand for"));
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }
}

fn scalar(text: String, style: ScalarStyle, span: Span) -> Node {
    let begins = at(span.start);
    let plain = style == ScalarStyle::Plain;
    let kind = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        Kind::Null
    } else {
        let quotes = match style {
            ScalarStyle::Plain => Some(0),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(1),
            ScalarStyle::Literal | ScalarStyle::Folded => None,
        };
        // As long as in the file, so nothing was escaped or folded.
        let whole = quotes.filter(|quotes| {
            let written = span.end.index().saturating_sub(span.start.index());
            span.start.line() == span.end.line() && written == text.chars().count() + 2 * quotes
        });
        let start = whole.map(|quotes| At { column: begins.column + quotes, ..begins });
        Kind::Text(Text { text, start, at: begins })
    };
    Node { at: begins, kind, size: 1 }
}

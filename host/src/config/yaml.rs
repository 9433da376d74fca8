//! Pure: YAML text as a tree in which every value knows its line. In: text. Out: `Node`, or the one place where the
//! text is no YAML. Owns nothing. One parser gives both values and lines, so that they cannot disagree.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::problem::Report;
use super::quotes;
use super::scalar::{self, Scalar};

/// Deeper nesting is refused: no configuration needs it, and code that walks the tree may recurse.
const DEEPEST: usize = 64;
/// More values are refused, those that aliases repeat included (a short text of aliases can stand for billions).
const MOST: usize = 100_000;
const CORE: &str = "tag:yaml.org,2002:";

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Line of its first character, from 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
    /// A tag that this host does not know.
    pub tag: Option<String>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A word, with its text as written (without quotes) and whether it stood there without quotes.
    Scalar {
        text: String,
        scalar: Scalar,
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A section.
    Map(Vec<Entry>),
}

/// One key of a section with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key as text.
    pub key: String,
    /// Line of the key, from 1.
    pub line: usize,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The empty value at `line`.
    pub fn null(line: usize) -> Self {
        let value = Value::Scalar {
            text: String::new(),
            scalar: Scalar::Null,
            plain: true,
        };
        Self {
            line,
            value,
            tag: None,
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        matches!(
            self.value,
            Value::Scalar {
                scalar: Scalar::Null,
                ..
            }
        )
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Value::Map(entries) => {
                1 + entries
                    .iter()
                    .map(|entry| entry.node.count())
                    .sum::<usize>()
            }
        }
    }
}

/// The single document in `text`; an empty text is an empty value. Problems go to `report`; what stands before a syntax
/// error is not returned, because half a file means something else than the whole.
pub(super) fn parse(text: &str, report: &Report) -> Option<Node> {
    let mut builder = Builder {
        report,
        open: Vec::new(),
        anchors: HashMap::new(),
        documents: Vec::new(),
        count: 0,
    };
    for event in Parser::new_from_str(text) {
        let (line, message) = match event {
            Ok((event, span)) => match builder.take(event, span) {
                Ok(()) => continue,
                Err(message) => (span.start.line(), message),
            },
            Err(error) => (error.marker().line(), syntax(error.info())),
        };
        report.problem(line, "", message);
        return None;
    }
    let mut documents = builder.documents.into_iter();
    let first = documents.next().unwrap_or_else(|| Node::null(1));
    if let Some(second) = documents.next() {
        report.problem(
            second.line,
            "",
            "a second YAML document (after ---) is not read; join them into one",
        );
    }
    Some(first)
}

/// The parser's words, with what to do about those that everybody meets.
fn syntax(info: &str) -> String {
    let hint = if info.contains("indentation in flow") {
        "; indent the lines between the brackets more than the key before them"
    } else if info.contains("mapping values are not allowed") {
        "; put text with a colon in quotes"
    } else {
        ""
    };
    format!("not YAML: {info}{hint}")
}

/// Puts the parser's events together.
struct Builder<'a> {
    report: &'a Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    documents: Vec<Node>,
    count: usize,
}

/// A list or section whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, usize)>,
    lines: HashMap<String, usize>,
    merged: Vec<Entry>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.more(1)?;
                self.value(scalar_node(&text, style, tag, line)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(Value::List(Vec::new()), anchor, tag, line)
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Value::Map(Vec::new()), anchor, tag, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let node = self
                    .anchors
                    .get(&anchor)
                    .ok_or("an alias (*) to the value that it stands in")?;
                let node = node.clone();
                self.more(node.count())?;
                self.value(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(
        &mut self,
        value: Value,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        line: usize,
    ) -> Result<(), String> {
        if self.open.len() >= DEEPEST {
            return Err(format!("nested more than {DEEPEST} levels deep"));
        }
        self.more(1)?;
        let tag = tag
            .map(|tag| name(&tag))
            .filter(|tag| tag != "!!map" && tag != "!!seq");
        let node = Node { line, value, tag };
        self.open.push(Open {
            node,
            anchor,
            key: None,
            lines: HashMap::new(),
            merged: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        if let Value::Map(entries) = &mut open.node.value {
            let new = |entry: &Entry| open.lines.insert(entry.key.clone(), entry.line).is_none();
            entries.extend(open.merged.into_iter().filter(new));
        }
        self.value(open.node, open.anchor)
    }

    /// A value is complete: it goes into the list or section that is open.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        let entries = match &mut open.node.value {
            Value::List(items) => {
                items.push(node);
                return Ok(());
            }
            Value::Map(entries) => entries,
            Value::Scalar { .. } => return Ok(()),
        };
        match open.key.take() {
            None => open.key = Some(key_of(node)?),
            Some((key, _)) if key == MERGE => open.merged.extend(merged(node)?),
            Some((key, line)) => match open.lines.insert(key.clone(), line) {
                Some(first) => {
                    let message =
                        format!("written twice: in line {first} and in line {line}; keep one");
                    self.report.problem(line, &path(&self.open, &key), message);
                }
                None => entries.push(Entry { key, line, node }),
            },
        }
        Ok(())
    }

    fn more(&mut self, count: usize) -> Result<(), String> {
        self.count += count;
        if self.count > MOST {
            Err(format!("more than {MOST} values, aliases included"))
        } else {
            Ok(())
        }
    }
}

/// The key that takes over the entries of another section.
const MERGE: &str = "<<";

/// A quoted `<<` is refused, so that the effective configuration, which is written without quotes, never means another.
fn key_of(node: Node) -> Result<(String, usize), String> {
    match node.value {
        Value::Scalar {
            text, plain: false, ..
        } if text == MERGE => Err("the key << cannot be put in quotes".to_owned()),
        Value::Scalar {
            text, plain: true, ..
        } if let Some(quote) = quotes::before(&text) => {
            let named = quotes::named(quote);
            Err(format!(
                "the key {text} begins with {named}, which is part of it; leave it out, or write \" or '"
            ))
        }
        Value::Scalar { text, .. } => Ok((text, node.line)),
        Value::List(_) | Value::Map(_) => {
            Err("a list or section cannot be a key; write a word".to_owned())
        }
    }
}

/// What `<<` takes over: the entries of a section, or of several, the first of which wins.
fn merged(node: Node) -> Result<Vec<Entry>, String> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            Ok(items
                .into_iter()
                .map(merged)
                .collect::<Result<Vec<_>, _>>()?
                .concat())
        }
        _ => Err("<< takes a section or a list of sections, for example <<: *defaults".to_owned()),
    }
}

fn path(open: &[Open], key: &str) -> String {
    let above = open
        .iter()
        .filter_map(|open| open.key.as_ref())
        .map(|(key, _)| key.as_str());
    above.chain([key]).collect::<Vec<_>>().join(".")
}

fn scalar_node(
    text: &str,
    style: ScalarStyle,
    tag: Option<Cow<'_, Tag>>,
    line: usize,
) -> Result<Node, String> {
    let plain = style == ScalarStyle::Plain;
    let tag = tag.map(|tag| name(&tag));
    let scalar = match tag.as_deref() {
        Some("!!str" | "!") => Scalar::Text,
        _ if plain || tag.is_some() => scalar::resolve(text),
        _ => Scalar::Text,
    };
    let fits = match (tag.as_deref(), &scalar) {
        (None | Some("!!str" | "!"), _)
        | (Some("!!null"), Scalar::Null)
        | (Some("!!bool"), Scalar::Bool(_))
        | (Some("!!int"), Scalar::Int(_))
        | (Some("!!float"), Scalar::Int(_) | Scalar::Float(_)) => true,
        (Some("!!null" | "!!bool" | "!!int" | "!!float"), _) => false,
        _ => {
            let value = Value::Scalar {
                text: text.to_owned(),
                scalar,
                plain,
            };
            return Ok(Node { line, value, tag });
        }
    };
    if !fits {
        return Err(format!(
            "{text:?} is not what its tag {} says",
            tag.unwrap_or_default()
        ));
    }
    let plain = plain && tag.is_none();
    Ok(Node {
        line,
        value: Value::Scalar {
            text: text.to_owned(),
            scalar,
            plain,
        },
        tag: None,
    })
}

/// A tag as it is usually written.
fn name(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle, tag.suffix);
    full.strip_prefix(CORE)
        .map_or(full.clone(), |suffix| format!("!!{suffix}"))
}

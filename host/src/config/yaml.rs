//! YAML text as a tree in which every value knows its line. One parser gives both values and lines, so that they cannot disagree.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::diagnostic::Diagnostics;
use super::quotes;
use super::scalar::{self, Scalar};

/// Deeper nesting is refused: no configuration needs it, and code that walks the tree may recurse.
const DEEPEST: usize = 64;
/// More values are refused, those that aliases repeat included (a short text of aliases can stand for billions).
const MOST: usize = 100_000;
const CORE: &str = "tag:yaml.org,2002:";

/// A value and its line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Line of its first character, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
    /// A tag that this host does not know.
    pub tag: Option<String>,
}

/// The value of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A word, with its text as written (without quotes) and whether it was written without quotes.
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
pub(crate) struct Entry {
    /// The key as text.
    pub key: String,
    /// Line of the key, from 1.
    pub line: usize,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The empty value at `line`.
    pub(super) fn null(line: usize) -> Self {
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
    pub(super) fn is_null(&self) -> bool {
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

/// A text that is not YAML, or not YAML that a configuration may have.
#[derive(Debug, thiserror::Error)]
enum YamlError {
    /// The parser's words, with advice about the errors that everybody meets.
    #[error("not YAML: {0}{advice}", advice = advice(.0))]
    Syntax(String),
    #[error("an alias (*) to the value that it is part of")]
    Recursion,
    #[error("nested more than {DEEPEST} levels deep")]
    TooDeep,
    #[error("more than {MOST} values, aliases included")]
    TooMany,
    #[error("the key << cannot be put in quotes")]
    QuotedMerge,
    #[error(
        "the key {0} begins with {quote}, which is part of it; leave it out, or write \" or '",
        quote = quotes::describe(*.1)
    )]
    QuoteInKey(String, char),
    #[error("a list or section cannot be a key; write a word")]
    Key,
    #[error("<< takes a section or a list of sections, for example <<: *defaults")]
    Merge,
    #[error("{text:?} is not of the type of its tag {tag}")]
    Tag { text: String, tag: String },
}

fn advice(info: &str) -> &'static str {
    if info.contains("indentation in flow") {
        "; indent the lines between the brackets more than the key before them"
    } else if info.contains("mapping values are not allowed") {
        "; put text with a colon in quotes"
    } else {
        ""
    }
}

/// The single document in `text`; an empty text is an empty value. `None` after a syntax error: half a file means something else
/// than the whole.
pub(crate) fn parse(text: &str, diagnostics: &Diagnostics) -> Option<Node> {
    let mut builder = Builder {
        diagnostics,
        open: Vec::new(),
        anchors: HashMap::new(),
        documents: Vec::new(),
        count: 0,
    };

    for event in Parser::new_from_str(text) {
        let (line, result) = match event {
            Ok((event, span)) => (span.start.line(), builder.take(event, span)),
            Err(error) => (
                error.marker().line(),
                Err(YamlError::Syntax(error.info().to_owned())),
            ),
        };

        if let Err(error) = result {
            diagnostics.error(line, "", error.to_string());
            return None;
        }
    }

    let mut documents = builder.documents.into_iter();
    let first = documents.next().unwrap_or_else(|| Node::null(1));
    if let Some(second) = documents.next() {
        diagnostics.error(
            second.line,
            "",
            "a second YAML document (after ---) is not read; join them into one",
        );
    }

    Some(first)
}

/// Puts the parser's events together.
struct Builder<'a> {
    diagnostics: &'a Diagnostics,
    open: Vec<OpenNode>,
    anchors: HashMap<usize, Node>,
    documents: Vec<Node>,
    count: usize,
}

/// A list or section whose end has not come yet.
struct OpenNode {
    node: Node,
    anchor: usize,
    key: Option<(String, usize)>,
    lines: HashMap<String, usize>,
    merged: Vec<Entry>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.add_count(1)?;
                self.add_value(scalar_node(&text, style, tag, line)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(Value::List(Vec::new()), anchor, tag, line)
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Value::Map(Vec::new()), anchor, tag, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or(YamlError::Recursion)?;
                let node = node.clone();
                self.add_count(node.count())?;
                self.add_value(node, 0)
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
    ) -> Result<(), YamlError> {
        if self.open.len() >= DEEPEST {
            return Err(YamlError::TooDeep);
        }
        self.add_count(1)?;
        let tag = tag
            .map(|tag| tag_name(&tag))
            .filter(|tag| tag != "!!map" && tag != "!!seq");
        let node = Node { line, value, tag };
        self.open.push(OpenNode {
            node,
            anchor,
            key: None,
            lines: HashMap::new(),
            merged: Vec::new(),
        });

        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        if let Value::Map(entries) = &mut open.node.value {
            // entries that are written win over those that << takes over
            let is_new = |entry: &Entry| open.lines.insert(entry.key.clone(), entry.line).is_none();
            entries.extend(open.merged.into_iter().filter(is_new));
        }
        self.add_value(open.node, open.anchor)
    }

    /// Adds a complete value to the list or section that is open.
    fn add_value(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
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
            None => open.key = Some(read_key(node)?),
            Some((key, _)) if key == MERGE => open.merged.extend(merged_entries(node)?),
            Some((key, line)) => match open.lines.insert(key.clone(), line) {
                Some(first) => {
                    self.diagnostics.error(
                        line,
                        &path(&self.open, &key),
                        format!("written twice: in line {first} and in line {line}; keep one"),
                    );
                }
                None => entries.push(Entry { key, line, node }),
            },
        }

        Ok(())
    }

    fn add_count(&mut self, count: usize) -> Result<(), YamlError> {
        self.count += count;
        if self.count > MOST {
            Err(YamlError::TooMany)
        } else {
            Ok(())
        }
    }
}

/// The key that takes over the entries of another section.
const MERGE: &str = "<<";

/// The key that `node` is. A quoted `<<` is refused, so that the effective configuration, which is written without quotes, never
/// has another meaning.
fn read_key(node: Node) -> Result<(String, usize), YamlError> {
    match node.value {
        Value::Scalar {
            text, plain: false, ..
        } if text == MERGE => Err(YamlError::QuotedMerge),
        Value::Scalar {
            text, plain: true, ..
        } if let Some(quote) = quotes::find_at_start(&text) => {
            Err(YamlError::QuoteInKey(text, quote))
        }
        Value::Scalar { text, .. } => Ok((text, node.line)),
        Value::List(_) | Value::Map(_) => Err(YamlError::Key),
    }
}

/// The entries that `<<` takes over: those of a section, or of several, the first of which wins.
fn merged_entries(node: Node) -> Result<Vec<Entry>, YamlError> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            let sections = items.into_iter().map(merged_entries);
            Ok(sections.collect::<Result<Vec<_>, _>>()?.concat())
        }
        _ => Err(YamlError::Merge),
    }
}

/// The path of `key` in the section that is open.
fn path(open: &[OpenNode], key: &str) -> String {
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
) -> Result<Node, YamlError> {
    let plain = style == ScalarStyle::Plain;
    let tag = tag.map(|tag| tag_name(&tag));
    let scalar = match tag.as_deref() {
        Some("!!str" | "!") => Scalar::Text,
        _ if plain || tag.is_some() => scalar::resolve(text),
        _ => Scalar::Text,
    };

    let (plain, tag) = match tag {
        None => (plain, None),
        Some(tag) => match tag_fits(&tag, &scalar) {
            // the value has the type that its tag names, so the tag needs no more attention
            Some(true) => (false, None),
            Some(false) => {
                let text = text.to_owned();
                return Err(YamlError::Tag { text, tag });
            }
            None => (plain, Some(tag)),
        },
    };

    let value = Value::Scalar {
        text: text.to_owned(),
        scalar,
        plain,
    };
    Ok(Node { line, value, tag })
}

/// Whether the value has the type of its tag; `None` for a tag that this host does not know.
fn tag_fits(tag: &str, scalar: &Scalar) -> Option<bool> {
    match tag {
        "!!str" | "!" => Some(true),
        "!!null" => Some(matches!(scalar, Scalar::Null)),
        "!!bool" => Some(matches!(scalar, Scalar::Bool(_))),
        "!!int" => Some(matches!(scalar, Scalar::Int(_))),
        "!!float" => Some(matches!(scalar, Scalar::Int(_) | Scalar::Float(_))),
        _ => None,
    }
}

/// A tag as it is usually written.
fn tag_name(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle, tag.suffix);
    full.strip_prefix(CORE)
        .map_or(full.clone(), |suffix| format!("!!{suffix}"))
}

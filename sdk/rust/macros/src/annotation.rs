//! Reads one annotation of a method.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Meta, Result, Token};

/// The purpose of a method.
pub(crate) enum Annotation {
    Handle {
        filter: LitStr,
        global: bool,
        qos: u8,
    },
    Every(Every),
    Timer {
        pattern: LitStr,
    },
    Moment(Moment),
}

/// When a loop runs.
pub(crate) struct Every {
    pub period: LitStr,
    pub delay: Option<LitStr>,
    pub jitter: Option<LitStr>,
    pub delayed: bool,
    pub stopped: bool,
    pub name: LitStr,
}

/// A moment in the life of the service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    New,
    Start,
    Stop,
    Connected,
    Disconnected,
    Delivered,
    ConfigChanged,
    Save,
    Load,
    Fallback,
}

/// The words between an annotation's brackets.
enum Word {
    Text(LitStr),
    Flag(Ident),
    Named(Ident, LitStr),
    Number(Ident, LitInt),
}

impl Parse for Word {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            return input.parse().map(Self::Text);
        }
        let name: Ident = input.parse()?;
        if input.parse::<Option<Token![=]>>()?.is_none() {
            return Ok(Self::Flag(name));
        }
        if input.peek(LitStr) {
            Ok(Self::Named(name, input.parse()?))
        } else {
            Ok(Self::Number(name, input.parse()?))
        }
    }
}

/// Reads `attribute` of `method`; `None` if it is not one of the SDK's.
pub(crate) fn read(attribute: &Attribute, method: &Ident) -> Result<Option<Annotation>> {
    let Some(name) = attribute.path().get_ident() else {
        return Ok(None);
    };
    let moment = match name.to_string().as_str() {
        "handle" => return handle(attribute, method).map(Some),
        "every" => return every(attribute, method).map(Some),
        "timer" => return timer(attribute, method).map(Some),
        "new" => Moment::New,
        "start" => Moment::Start,
        "stop" => Moment::Stop,
        "connected" => Moment::Connected,
        "disconnected" => Moment::Disconnected,
        "delivered" => Moment::Delivered,
        "config_changed" => Moment::ConfigChanged,
        "save" => Moment::Save,
        "load" => Moment::Load,
        "fallback" => Moment::Fallback,
        _ => return Ok(None),
    };

    if words(attribute)?.is_empty() {
        return Ok(Some(Annotation::Moment(moment)));
    }
    Err(Error::new_spanned(
        attribute,
        format!("`{method}`: #[{name}] takes no arguments"),
    ))
}

fn handle(attribute: &Attribute, method: &Ident) -> Result<Annotation> {
    let mut filter = None;
    let mut global = false;
    let mut qos = 1;
    for word in words(attribute)? {
        match word {
            Word::Text(text) if filter.is_none() => filter = Some(text),
            Word::Flag(flag) if flag == "global" => global = true,
            Word::Number(name, number) if name == "qos" => {
                qos = number
                    .base10_parse()
                    .ok()
                    .filter(|qos| *qos <= 2)
                    .ok_or_else(|| {
                        Error::new_spanned(&number, format!("`{method}`: qos is 0, 1 or 2"))
                    })?;
            }
            other => {
                return Err(unknown(
                    &other,
                    method,
                    "#[handle(\"topic/filter\", global, qos = 1)]",
                ));
            }
        }
    }

    let filter = filter.ok_or_else(|| missing(attribute, method, "#[handle(\"topic/filter\")]"))?;
    Ok(Annotation::Handle {
        filter,
        global,
        qos,
    })
}

fn every(attribute: &Attribute, method: &Ident) -> Result<Annotation> {
    let form = "#[every(\"10s\", delayed, delay = \"1s\", jitter = \"1s\", stopped, name = \"x\")]";
    let name = LitStr::new(&method.to_string(), method.span());
    let mut period = None;
    let mut every = Every {
        delay: None,
        jitter: None,
        delayed: false,
        stopped: false,
        period: name.clone(),
        name,
    };

    for word in words(attribute)? {
        match word {
            Word::Text(text) if period.is_none() => period = Some(text),
            Word::Flag(flag) if flag == "delayed" => every.delayed = true,
            Word::Flag(flag) if flag == "stopped" => every.stopped = true,
            Word::Named(name, span) if name == "delay" => every.delay = Some(span),
            Word::Named(name, span) if name == "jitter" => every.jitter = Some(span),
            Word::Named(name, text) if name == "name" => every.name = text,
            other => return Err(unknown(&other, method, form)),
        }
    }

    every.period = period.ok_or_else(|| missing(attribute, method, "#[every(\"10s\")]"))?;
    Ok(Annotation::Every(every))
}

fn timer(attribute: &Attribute, method: &Ident) -> Result<Annotation> {
    let mut words = words(attribute)?.into_iter();
    let pattern = match words.next() {
        None => LitStr::new(&method.to_string(), method.span()),
        Some(Word::Text(text)) => text,
        Some(other) => return Err(unknown(&other, method, "#[timer(\"name\")]")),
    };
    match words.next() {
        None => Ok(Annotation::Timer { pattern }),
        Some(other) => Err(unknown(&other, method, "#[timer(\"name\")]")),
    }
}

fn words(attribute: &Attribute) -> Result<Vec<Word>> {
    if matches!(attribute.meta, Meta::Path(_)) {
        return Ok(Vec::new());
    }
    Ok(attribute
        .parse_args_with(Punctuated::<Word, Token![,]>::parse_terminated)?
        .into_iter()
        .collect())
}

fn unknown(word: &Word, method: &Ident, form: &str) -> Error {
    let span = match word {
        Word::Text(text) => text.span(),
        Word::Flag(name) | Word::Named(name, _) | Word::Number(name, _) => name.span(),
    };
    Error::new(
        span,
        format!("`{method}`: not understood here; expected {form}"),
    )
}

fn missing(attribute: &Attribute, method: &Ident, form: &str) -> Error {
    Error::new_spanned(
        attribute,
        format!("`{method}`: something is missing; expected {form}"),
    )
}

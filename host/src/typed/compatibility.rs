//! The question whether a component still fulfils the interfaces of another one, by its types. Pure.
//!
//! An interface is fulfilled when everything that worked still works over the network: each call that the old version accepts is accepted,
//! and each result, property and signal of the new version can be read by those who know the old one. So a parameter may become wider, and
//! a result narrower; a record may get an optional field, or in a result any field. Versions of packages count as in Cargo: `1.2.0` takes
//! the place of `1.0.0`, `2.0.0` does not.

use super::interface::{ComponentInterfaces, Function, Interface, InterfaceId};
use super::types::{Field, Type};

/// Ends the name of an interface with the signals of another one.
const SIGNALS: &str = "-signals";

/// Differences by which `new` does not fulfil the interfaces of `old`, one sentence for each.
pub fn differences(old: &ComponentInterfaces, new: &ComponentInterfaces) -> Vec<String> {
    let mut differences = Differences::default();
    for interface in &old.exports {
        let found = differences.counterpart(&interface.id, &new.exports, "export");
        if let Some(found) = found {
            differences.interface(interface, found, Direction::Called);
        }
    }

    let is_emitted = |import: &&Interface| {
        let name = import.id.name.strip_suffix(SIGNALS);
        old.exports
            .iter()
            .any(|export| name == Some(&export.id.name) && export.id.package == import.id.package)
    };

    for interface in old.imports.iter().filter(is_emitted) {
        let found = differences.counterpart(&interface.id, &new.imports, "emit");
        if let Some(found) = found {
            differences.interface(interface, found, Direction::Emitted);
        }
    }

    differences.lines
}

/// The side that calls the functions of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// Others: the component reads the parameters.
    Called,
    /// The component: others read the parameters.
    Emitted,
}

#[derive(Default)]
struct Differences {
    lines: Vec<String>,
}

impl Differences {
    /// The interface that takes the place of `old`.
    fn counterpart<'n>(
        &mut self,
        old: &InterfaceId,
        new: &'n [Interface],
        verb: &str,
    ) -> Option<&'n Interface> {
        let same_name = |interface: &&Interface| {
            interface.id.package == old.package && interface.id.name == old.name
        };
        let candidates: Vec<&Interface> = new.iter().filter(same_name).collect();
        let found = candidates
            .iter()
            .find(|interface| takes_place_of(&interface.id, old));
        if found.is_none() {
            self.lines.push(match candidates.first() {
                Some(other) => format!("{verb}s {} in place of {old}", other.id),
                None => format!("no longer {verb}s {old}"),
            });
        }

        found.copied()
    }

    fn interface(&mut self, old: &Interface, new: &Interface, direction: Direction) {
        for function in &old.functions {
            let found = new.functions.iter().find(|one| one.name == function.name);
            let place = format!("{}, {}", old.id, function.name);
            match found {
                Some(found) => self.function(&place, function, found, direction),
                None => self.lines.push(format!("{place}: is missing")),
            }
        }
    }

    fn function(&mut self, place: &str, old: &Function, new: &Function, direction: Direction) {
        if old.parameters.len() != new.parameters.len() {
            self.lines.push(format!(
                "{place}: expected {} parameters, found {}",
                old.parameters.len(),
                new.parameters.len()
            ));
            return;
        }

        for (old, new) in old.parameters.iter().zip(&new.parameters) {
            let place = format!("{place}, {}", old.name.wit);
            match direction {
                Direction::Called => self.compare(&place, &new.ty, &old.ty, Reader::New),
                Direction::Emitted => self.compare(&place, &old.ty, &new.ty, Reader::Old),
            }
        }

        let place = format!("{place}, result");
        match (&old.result, &new.result) {
            (Some(old), Some(new)) => self.compare(&place, old, new, Reader::Old),
            (None, None) => {}
            (Some(old), None) => {
                self.lines
                    .push(format!("{place}: expected {}, found none", old.wit()));
            }
            (None, Some(new)) => {
                self.lines
                    .push(format!("{place}: expected none, found {}", new.wit()));
            }
        }
    }

    /// Checks that `reader` can read everything that `writer` writes.
    fn compare(&mut self, place: &str, reader: &Type, writer: &Type, side: Reader) {
        match (reader, writer) {
            (Type::Option(reader), Type::Option(writer)) => {
                self.compare(place, reader, writer, side);
            }
            // a value is also an option with a value, unless that has a form of its own
            (Type::Option(reader), writer) if !reader.is_nullable() => {
                self.compare(place, reader, writer, side);
            }
            (Type::List(reader), Type::List(writer)) => self.compare(place, reader, writer, side),
            (Type::Tuple(readers), Type::Tuple(writers)) if readers.len() == writers.len() => {
                for (index, (reader, writer)) in readers.iter().zip(writers.iter()).enumerate() {
                    self.compare(&format!("{place}[{index}]"), reader, writer, side);
                }
            }
            (Type::Record(reader), Type::Record(writer)) => {
                self.record(place, &reader.fields, &writer.fields, side);
            }
            (Type::Result(reader), Type::Result(writer)) => {
                self.optional(&format!("{place}, ok"), (&reader.ok, &writer.ok), side);
                self.optional(&format!("{place}, error"), (&reader.err, &writer.err), side);
            }
            (Type::Variant(reader), Type::Variant(writer)) => {
                for case in &writer.cases {
                    let place = format!("{place}, case {}", case.name.wit);
                    let found = reader.cases.iter().find(|one| one.name == case.name);
                    match found {
                        Some(found) => self.optional(&place, (&found.ty, &case.ty), side),
                        None => self.lines.push(format!("{place}: {}", side.misses())),
                    }
                }
            }
            (Type::Enum(reader), Type::Enum(writer)) => {
                let names = writer
                    .cases
                    .iter()
                    .filter(|case| !reader.cases.contains(case));
                self.missing(
                    place,
                    "case",
                    names.map(|case| case.name.wit.as_str()),
                    side,
                );
            }
            (Type::Flags(reader), Type::Flags(writer)) => {
                let names = writer
                    .names
                    .iter()
                    .filter(|name| !reader.names.contains(name));
                self.missing(place, "flag", names.map(|name| name.wit.as_str()), side);
            }
            _ if reader == writer || is_wider(reader, writer) => {}
            _ => {
                let (old, new) = side.order(reader, writer);
                self.lines.push(format!(
                    "{place}: expected {}, found {}",
                    old.wit(),
                    new.wit()
                ));
            }
        }
    }

    fn record(&mut self, place: &str, readers: &[Field], writers: &[Field], side: Reader) {
        for field in readers {
            let place = format!("{place}.{}", field.name.wit);
            let found = writers.iter().find(|one| one.name == field.name);
            match found {
                Some(found) => self.compare(&place, &field.ty, &found.ty, side),
                None if field.ty.is_nullable() => {}
                None if side == Reader::New => {
                    self.lines.push(format!("{place}: is new and not optional"));
                }
                None => self.lines.push(format!("{place}: is missing")),
            }
        }

        // a reader ignores other fields; but a field that the new version no longer reads was given for a reason
        if side == Reader::New {
            let ignored = writers
                .iter()
                .filter(|field| !readers.iter().any(|one| one.name == field.name));
            for field in ignored {
                self.lines
                    .push(format!("{place}.{}: is missing", field.name.wit));
            }
        }
    }

    fn optional(
        &mut self,
        place: &str,
        (reader, writer): (&Option<Type>, &Option<Type>),
        side: Reader,
    ) {
        match (reader, writer) {
            (Some(reader), Some(writer)) => self.compare(place, reader, writer, side),
            (None, None) => {}
            (Some(ty), None) | (None, Some(ty)) => {
                let was_there = (side == Reader::Old) == reader.is_some();
                self.lines.push(if was_there {
                    format!("{place}: expected {}, found none", ty.wit())
                } else {
                    format!("{place}: expected none, found {}", ty.wit())
                });
            }
        }
    }

    fn missing<'a>(
        &mut self,
        place: &str,
        kind: &str,
        names: impl Iterator<Item = &'a str>,
        side: Reader,
    ) {
        for name in names {
            self.lines
                .push(format!("{place}, {kind} {name}: {}", side.misses()));
        }
    }
}

/// The version that reads a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Old,
    New,
}

impl Reader {
    /// The words for something that the reader does not know.
    fn misses(self) -> &'static str {
        match self {
            Self::Old => "is new, and others do not know it",
            Self::New => "is missing, or has another number",
        }
    }

    /// The types of the old and of the new version.
    fn order<'t>(self, reader: &'t Type, writer: &'t Type) -> (&'t Type, &'t Type) {
        match self {
            Self::Old => (reader, writer),
            Self::New => (writer, reader),
        }
    }
}

/// Whether a reader of numbers accepts each number of the other type.
fn is_wider(reader: &Type, writer: &Type) -> bool {
    if let (Some((least, most)), Some((from, to))) = (range(reader), range(writer)) {
        return least <= from && to <= most;
    }
    matches!((reader, writer), (Type::F64, Type::F32))
}

/// The least and the greatest value of a type of whole numbers.
fn range(ty: &Type) -> Option<(i128, i128)> {
    Some(match ty {
        Type::S8 => (i8::MIN.into(), i8::MAX.into()),
        Type::S16 => (i16::MIN.into(), i16::MAX.into()),
        Type::S32 => (i32::MIN.into(), i32::MAX.into()),
        Type::S64 => (i64::MIN.into(), i64::MAX.into()),
        Type::U8 => (0, u8::MAX.into()),
        Type::U16 => (0, u16::MAX.into()),
        Type::U32 => (0, u32::MAX.into()),
        Type::U64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// Whether an interface of the version of `new` is one of the version of `old`, too.
fn takes_place_of(new: &InterfaceId, old: &InterfaceId) -> bool {
    if new.version == old.version {
        return true;
    }
    let read = |id: &InterfaceId| id.version.as_deref().and_then(release);
    let (Some(new), Some(old)) = (read(new), read(old)) else {
        return false;
    };

    let is_same_track = match old {
        (0, 0, _) => false,
        (0, minor, _) => (new.0, new.1) == (0, minor),
        (major, ..) => new.0 == major,
    };
    is_same_track && new > old
}

/// The numbers of a release. A version with more than these, such as `1.0.0-rc.1`, is compatible with itself alone.
fn release(version: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = version.split('.').map(str::parse);
    let release = (
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
    );
    numbers.next().is_none().then_some(release)
}

#[cfg(test)]
mod tests;

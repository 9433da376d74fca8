//! Reads enumerations. ApiGear sends the number of a member, WIT counts from zero: numbers that no member has are filled with
//! unused cases when the package is written.

use super::keys::{read_description, read_items, read_name};
use super::module::{Enum, Member};
use super::scope::Scope;
use crate::config::ConfigValue;

/// The highest number of a member.
const HIGHEST: u32 = 255;

/// Reads an enumeration.
pub(super) fn read_enum(value: ConfigValue<'_>, scope: &mut Scope) -> Enum {
    let mut section = value.into_section();
    let name = read_name(&mut section, |name, value| scope.add(name, value));
    let description = read_description(&mut section);

    let mut cases = Scope::default();
    let mut members: Vec<Member> = Vec::new();
    let read = read_items(&mut section, "members", |value| {
        let place = value.clone();
        let next = members.iter().map(|member| member.value + 1).max();
        let member = read_member(value, next.unwrap_or_default(), &mut cases);
        if let Some(other) = members.iter().find(|other| other.value == member.value) {
            place.error(format!(
                "has the value {} of {}; each member needs its own",
                member.value, other.name
            ));
        }

        members.push(member);
    });

    if read.is_empty() {
        section.error("has no members; an enum of WIT has at least one");
    }
    section.finish();

    members.sort_by_key(|member| member.value);
    Enum {
        name,
        description,
        members,
    }
}

/// Reads a member; without a value, it has the value `next`.
fn read_member(value: ConfigValue<'_>, next: u32, cases: &mut Scope) -> Member {
    let mut section = value.into_section();
    let name = read_name(&mut section, |name, value| cases.add(name, value));
    let description = read_description(&mut section);
    let value = section
        .take("value")
        .and_then(|value| value.number(0..=HIGHEST));
    section.finish();

    Member {
        name,
        description,
        value: value.unwrap_or(next),
    }
}

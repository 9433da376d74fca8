//! Differences between a new version and the one that it replaces, as sentences for the log. Pure.
//!
//! A difference is not a reason to refuse the version. It may be intended, a call without its grant is refused when the
//! guest makes it, and the probation shows whether the version works.

use crate::config::{Grants, NEEDS};
use crate::typed::compatibility;
use crate::typed::interface::ComponentInterfaces;

/// Properties of a version that are compared.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Its optional exports.
    pub exports: Vec<&'static str>,
    /// The interfaces that it imports, with versions.
    pub imports: Vec<String>,
    /// The typed interfaces that it serves and calls.
    pub interfaces: ComponentInterfaces,
    /// The filters that it has subscribed to itself.
    pub filters: Vec<String>,
}

/// Lists the differences that matter when `new` replaces `old` in the service `name`, one sentence for each.
pub fn differences(name: &str, old: &Profile, new: &Profile, grants: &Grants) -> Vec<String> {
    let mut lines = Vec::new();
    let gone = missing(&old.exports, &new.exports);
    if !gone.is_empty() {
        lines.push(format!(
            "the new version no longer exports {}",
            gone.join(", ")
        ));
    }

    if old.exports.contains(&"save") && !new.exports.contains(&"load") {
        lines.push(
            "the new version has no load: the state that the former one saves is not handed over"
                .to_owned(),
        );
    }

    let gone = missing(&old.filters, &new.filters);
    if !gone.is_empty() {
        lines.push(format!(
            "the new version no longer subscribes to {}",
            gone.join(", ")
        ));
    }

    let broken = compatibility::differences(&old.interfaces, &new.interfaces);
    lines.extend(broken.iter().map(|line| format!("the new version {line}")));
    // messaging needs a grant for other services' topics only, and says so when it does
    for (begins, key, _) in NEEDS
        .into_iter()
        .filter(|(import, ..)| import.starts_with("wasi:"))
    {
        let imports = |profile: &Profile| {
            profile
                .imports
                .iter()
                .any(|import| import.starts_with(begins))
        };

        if imports(new) && !imports(old) && !grants.has(key) {
            lines.push(format!("the new version imports {begins}, for which services.{name}.grants.{key} has nothing"));
        }
    }

    lines
}

fn missing<'a, T: AsRef<str> + PartialEq>(old: &'a [T], new: &[T]) -> Vec<&'a str> {
    let mut gone: Vec<&str> = old
        .iter()
        .filter(|one| !new.contains(one))
        .map(AsRef::as_ref)
        .collect();
    gone.sort_unstable();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(exports: &[&'static str], imports: &[&str], filters: &[&str]) -> Profile {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Profile {
            exports: exports.to_vec(),
            imports: owned(imports),
            interfaces: ComponentInterfaces::default(),
            filters: owned(filters),
        }
    }

    #[test]
    fn missing_exports_and_grants_are_reported() {
        let old = profile(
            &["start", "save"],
            &["wasi:cli/environment@0.2.6"],
            &["s/b", "s/a"],
        );
        let imports = [
            "wasi:cli/environment@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:filesystem/types@0.2.6",
        ];
        let new = profile(&["start"], &imports, &["s/c"]);
        assert_eq!(
            differences("it", &old, &new, &Grants::default()),
            [
                "the new version no longer exports save",
                "the new version has no load: the state that the former one saves is not handed over",
                "the new version no longer subscribes to s/a, s/b",
                "the new version imports wasi:filesystem, for which services.it.grants.directories has nothing",
                "the new version imports wasi:http, for which services.it.grants.http has nothing",
            ]
        );
    }

    #[test]
    fn about_a_version_that_offers_more_there_is_nothing_to_say() {
        let old = profile(&[], &[], &["a"]);
        let new = profile(&["save", "load"], &["wasi:io/poll@0.2.6"], &["a", "b"]);
        assert_eq!(differences("it", &old, &new, &Grants::default()), [""; 0]);
    }
}

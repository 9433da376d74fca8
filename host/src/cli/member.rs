//! Members of interfaces on the command line: `io.world/Hello.say`, or `NAME/hello.say` for a service of the configuration.

use std::str::FromStr;

/// The name of an operation or of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberName {
    /// A service of the configuration, or the module on the network.
    pub(super) owner: String,
    pub(super) interface: String,
    pub(super) member: String,
}

/// A text that does not name a member.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME/interface.member, such as io.world/Hello.say")]
pub(super) struct MemberNameError;

impl FromStr for MemberName {
    type Err = MemberNameError;

    fn from_str(text: &str) -> Result<Self, MemberNameError> {
        let (owner, rest) = text.rsplit_once('/').ok_or(MemberNameError)?;
        let (interface, member) = rest.rsplit_once('.').ok_or(MemberNameError)?;
        if [owner, interface, member].contains(&"") {
            return Err(MemberNameError);
        }

        Ok(Self {
            owner: owner.to_owned(),
            interface: interface.to_owned(),
            member: member.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_with_their_interface_and_its_owner() {
        let name = |owner: &str, interface: &str, member: &str| {
            Ok(MemberName {
                owner: owner.to_owned(),
                interface: interface.to_owned(),
                member: member.to_owned(),
            })
        };

        assert_eq!(
            "io.world/Hello.say".parse(),
            name("io.world", "Hello", "say")
        );
        assert_eq!("a/b/x.y".parse(), name("a/b", "x", "y"));
        for text in [
            "",
            "say",
            "Hello.say",
            "io.world/Hello",
            "/Hello.say",
            "a/.say",
            "a/x.",
        ] {
            assert_eq!(text.parse::<MemberName>(), Err(MemberNameError), "{text:?}");
        }
    }
}

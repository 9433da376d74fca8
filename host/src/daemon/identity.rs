//! Users and groups by name or number. The system's own `getent` is asked, so that users outside of
//! /etc/passwd count.

use std::process::Command;

/// User and group of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Errors of looking up users and groups.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The user or group does not exist.
    #[error("there is no {kind} {name}; write its name or its number")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The given name.
        name: String,
    },
    /// A user by a number that has no name: the group cannot be guessed.
    #[error("the user {0} has no name here and so no group; write --gid as well")]
    NoGroup(u32),
    /// Only root may choose another user.
    #[error("only root can run the host as somebody else")]
    NotRoot,
}

/// Looks up a user and a group; without a group, the user's own. `None` when neither is given.
///
/// # Errors
/// When one of them is not known.
pub fn identity(
    user: Option<&str>,
    group: Option<&str>,
) -> Result<Option<Identity>, IdentityError> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }

    let own_user = rustix::process::getuid().as_raw();
    let own_group = rustix::process::getgid().as_raw();
    let (uid, group_of_user) = user.map_or(Ok((own_user, Some(own_group))), find_user)?;
    let gid = match group {
        Some(group) => find_group(group)?,
        None => group_of_user.ok_or(IdentityError::NoGroup(uid))?,
    };
    if own_user != 0 && (uid, gid) != (own_user, own_group) {
        return Err(IdentityError::NotRoot);
    }
    Ok(Some(Identity { uid, gid }))
}

fn find_user(name: &str) -> Result<(u32, Option<u32>), IdentityError> {
    let number = name.parse().ok();
    match (entry("passwd", name), number) {
        (Some(fields), _)
            if let (Some(uid), gid) = (numeric_field(&fields, 2), numeric_field(&fields, 3)) =>
        {
            Ok((uid, gid))
        }
        (_, Some(number)) => Ok((number, None)),
        _ => Err(IdentityError::Unknown {
            kind: "user",
            name: name.to_owned(),
        }),
    }
}

fn find_group(name: &str) -> Result<u32, IdentityError> {
    let known = entry("group", name).and_then(|fields| numeric_field(&fields, 2));
    known
        .or_else(|| name.parse().ok())
        .ok_or_else(|| IdentityError::Unknown {
            kind: "group",
            name: name.to_owned(),
        })
}

fn numeric_field(fields: &[String], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

/// The fields of a line of passwd(5) or group(5).
fn entry(database: &str, name: &str) -> Option<Vec<String>> {
    // a name that begins with - would be an option
    let output = Command::new("getent")
        .args([database, "--", name])
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| line.trim_end().split(':').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        assert_eq!(find_user("root").unwrap(), (0, Some(0)));
        assert_eq!(find_user("0").unwrap(), (0, Some(0)));
        assert_eq!(find_user("4000123").unwrap(), (4_000_123, None));
        assert_eq!(
            (find_group("root").unwrap(), find_group("4000123").unwrap()),
            (0, 4_000_123)
        );
        assert!(
            find_user("nobody-like-this")
                .unwrap_err()
                .to_string()
                .contains("there is no user nobody-like-this")
        );

        assert!(find_group("--help").is_err());
        assert_eq!(identity(None, None).unwrap(), None);
    }
}

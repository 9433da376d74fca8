//! Pure but for the secrets that it fetches: user names and passwords. In: a section with `username`, `password` and the
//! like. Out: `Credentials`. Owns nothing. No message shows a secret.

use super::Credentials;
use super::given::Given;
use super::place::Place;
use super::section::Section;
use crate::text;

/// How keys are called.
pub(super) type Keys = [[&'static str; 3]; 2];

/// In `miqro.yml`.
pub(super) const MIQRO: Keys = [
    ["username", "username_file", "username_env"],
    ["password", "password_file", "password_env"],
];

/// In files of mqttservice.
pub(super) const MQTTSERVICE: Keys = [
    ["user", "user_file", "user_env"],
    ["password", "password_file", "password_env"],
];

/// The credentials in `section`; `None` when there are none, and after a problem.
pub(super) fn credentials(
    section: &mut Section<'_>,
    keys: Keys,
    place: &Place,
) -> Option<Credentials> {
    let (username, password) = (
        secret(section, keys[0], place),
        secret(section, keys[1], place),
    );
    match (username, password) {
        (Secret::Absent, Secret::Absent) => None,
        (Secret::Absent, _) => {
            section.problem(format!("has a password but no {}", keys[0][0]));
            None
        }
        (Secret::Wrong, _) | (_, Secret::Wrong) => None,
        (Secret::Text(username), Secret::Absent) => Some(Credentials {
            username,
            password: None,
        }),
        (Secret::Text(username), Secret::Text(password)) => Some(Credentials {
            username,
            password: Some(password),
        }),
    }
}

/// A list of users, each with a password.
pub(super) fn users(given: Given<'_>, place: &Place) -> Vec<Credentials> {
    let mut users: Vec<Credentials> = Vec::new();
    let mut places: Vec<String> = Vec::new();
    for item in given.list("[{username: anna, password_file: anna.txt}]") {
        let at = item.clone();
        let mut section = item.section();
        if section.is_empty() {
            at.problem("is empty; write username and password");
        }
        let found = credentials(&mut section, MIQRO, place);
        section.finish();
        match found {
            Some(user) if user.password.is_none() => {
                at.problem("has no password; write password, password_file or password_env");
            }
            Some(user)
                if let Some(first) = users
                    .iter()
                    .position(|other| other.username == user.username) =>
            {
                at.problem(format!(
                    "the user {:?} is there already: {}",
                    user.username, places[first]
                ));
            }
            Some(user) => {
                users.push(user);
                places.push(at.place());
            }
            None => {}
        }
    }
    users
}

enum Secret {
    Absent,
    Wrong,
    Text(String),
}

/// The value of a key that may also be given as a file or as an environment variable, but only in one way.
fn secret(section: &mut Section<'_>, keys: [&'static str; 3], place: &Place) -> Secret {
    let given: Vec<_> = keys
        .into_iter()
        .filter_map(|key| Some((key, section.take(key)?)))
        .collect();
    if let [_, (_, second), ..] = given.as_slice() {
        second.problem(format!("write only one of {}", keys.join(", ")));
        return Secret::Wrong;
    }
    let Some((key, given)) = given.into_iter().next() else {
        return Secret::Absent;
    };
    let text = match keys.iter().position(|name| *name == key) {
        Some(1) => given.file(place),
        Some(2) => given.read(|name| place.variable(name)),
        _ => given.text().map(str::to_owned),
    };
    if let Some(character) = text
        .as_deref()
        .filter(|_| keys[0].starts_with("user"))
        .and_then(text::forbidden)
    {
        given.problem(format!(
            "contains {}, for which brokers end the connection",
            text::name(character)
        ));
        return Secret::Wrong;
    }
    text.map_or(Secret::Wrong, Secret::Text)
}

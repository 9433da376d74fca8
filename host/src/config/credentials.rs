//! User names and passwords, each written in the file, in a file of its own, or in an environment variable. No message shows a secret.

use super::Credentials;
use super::key::Key;
use super::section::Section;
use super::value::ConfigValue;
use crate::text;

/// The keys of one secret: for the text itself, for a file that has it, and for an environment variable that has it.
pub(super) type SecretKeys = [&'static str; 3];

/// The keys of a user name and a password.
pub(super) struct CredentialKeys {
    username: SecretKeys,
    password: SecretKeys,
}

/// The keys in `miqro.yml`.
pub(super) const MIQRO: CredentialKeys = CredentialKeys {
    username: ["username", "username_file", "username_env"],
    password: PASSWORD,
};

/// The keys in files of mqttservice.
pub(super) const MQTTSERVICE: CredentialKeys = CredentialKeys {
    username: ["user", "user_file", "user_env"],
    password: PASSWORD,
};

const PASSWORD: SecretKeys = ["password", "password_file", "password_env"];

/// Reads the credentials in `section`; `None` when there are none, and after an error.
pub(super) fn read_credentials(
    section: &mut Section<'_>,
    keys: &CredentialKeys,
) -> Option<Credentials> {
    let username = read_username(section, keys.username);
    let password = read_secret(section, keys.password);

    match (username, password) {
        (Secret::Absent, Secret::Absent) => None,
        (Secret::Absent, _) => {
            section.error(format!("has a password but no {}", keys.username[0]));
            None
        }
        (Secret::Invalid, _) | (_, Secret::Invalid) => None,
        (Secret::Text(username, _), Secret::Absent) => Some(Credentials {
            username,
            password: None,
        }),
        (Secret::Text(username, _), Secret::Text(password, _)) => Some(Credentials {
            username,
            password: Some(password),
        }),
    }
}

/// Reads a list of users, each with a password.
pub(super) fn read_users(value: ConfigValue<'_>) -> Vec<Credentials> {
    let mut users: Vec<Credentials> = Vec::new();
    let mut locations: Vec<String> = Vec::new();

    for item in value.into_list("[{username: anna, password_file: anna.txt}]") {
        let Some(user) = read_user(&item) else {
            continue;
        };
        let same = |other: &Credentials| other.username == user.username;
        if let Some(first) = users.iter().position(same) {
            item.error(format!(
                "the user {:?} is there already: {}",
                user.username, locations[first]
            ));
        } else {
            users.push(user);
            locations.push(item.location());
        }
    }

    users
}

fn read_user(item: &ConfigValue<'_>) -> Option<Credentials> {
    let mut section = item.clone().into_section();
    if section.is_empty() {
        item.error("is empty; write username and password");
    }
    let user = read_credentials(&mut section, &MIQRO);
    section.finish();

    if user.as_ref().is_some_and(|user| user.password.is_none()) {
        item.error("has no password; write password, password_file or password_env");
        return None;
    }
    user
}

/// A secret of the file.
pub(super) enum Secret<'a> {
    /// It is not written.
    Absent,
    /// An error was reported.
    Invalid,
    /// The text, and the value in the file that it came from.
    Text(String, ConfigValue<'a>),
}

/// Reads a secret that is written in one of three ways.
pub(super) fn read_secret<'a>(section: &mut Section<'a>, keys: SecretKeys) -> Secret<'a> {
    let [text, file, variable] = keys.map(|key| section.take(key));
    let written = [&text, &file, &variable];
    if let [_, second, ..] = written.into_iter().flatten().collect::<Vec<_>>()[..] {
        second.error(format!("write only one of {}", keys.join(", ")));
        return Secret::Invalid;
    }

    let (content, value) = match (text, file, variable) {
        (Some(value), _, _) => (value.text().map(str::to_owned), value),
        (_, Some(value), _) => (value.file_content(), value),
        (_, _, Some(value)) => (value.variable(), value),
        (None, None, None) => return Secret::Absent,
    };

    content.map_or(Secret::Invalid, |content| Secret::Text(content, value))
}

/// Reads a user name, which may not contain characters that MQTT forbids.
fn read_username<'a>(section: &mut Section<'a>, keys: SecretKeys) -> Secret<'a> {
    let secret = read_secret(section, keys);
    if let Secret::Text(name, value) = &secret
        && let Some(character) = text::find_forbidden(name)
    {
        value.error(format!(
            "contains {}, for which brokers end the connection",
            text::name(character)
        ));
        return Secret::Invalid;
    }

    secret
}

/// The keys of `auth` for the reference.
pub(super) fn keys() -> Vec<Key> {
    vec![
        Key::new("username", "The user name.", "text").example("miqro"),
        Key::new("username_file", "A file with the user name.", "path")
            .example("/etc/miqro-host/username"),
        Key::new(
            "username_env",
            "An environment variable with the user name.",
            "name",
        )
        .example("MIQRO_USERNAME"),
    ]
    .into_iter()
    .chain(password_keys())
    .collect()
}

/// The keys of the credentials in files of mqttservice for the reference.
pub(super) fn mqttservice_keys() -> Vec<Key> {
    vec![
        Key::new("user", "The user name at the broker.", "text").example("miqro"),
        Key::new("user_file", "A file with the user name.", "path")
            .example("/etc/miqro-host/username"),
        Key::new(
            "user_env",
            "An environment variable with the user name.",
            "name",
        )
        .example("MIQRO_USERNAME"),
    ]
    .into_iter()
    .chain(password_keys())
    .collect()
}

fn password_keys() -> [Key; 3] {
    [
        Key::new("password", "The password.", "text").example("secret"),
        Key::new(
            "password_file",
            "A file with the password. A line end at its end does not count.",
            "path",
        )
        .example("/etc/miqro-host/password"),
        Key::new(
            "password_env",
            "An environment variable with the password.",
            "name",
        )
        .example("MIQRO_PASSWORD"),
    ]
}

//! Identities on disk.

#![allow(clippy::unwrap_used)]

use super::*;

fn origin(machine: &str, config: &Path) -> Origin {
    Origin {
        machine: machine.to_owned(),
        config: Some(config.to_owned()),
        services: Vec::new(),
    }
}

fn chosen(directory: &Path, origin: &Origin) -> Identity {
    Identity::choose(directory, origin.clone(), "").unwrap()
}

#[test]
fn an_identity_survives_new_machine_and_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("miqro.yml");
    fs::write(&file, "").unwrap();
    let first = chosen(folder.path(), &origin("one", &file));
    assert_eq!(first.client_id(), origin("one", &file).client_id(0));
    // it is in use: the same host in a container that starts before the first one has ended
    assert!(Identity::choose(folder.path(), origin("two", &file), "").is_err());
    let client_id = first.client_id().to_owned();
    let state_file = first.state_file().to_owned();
    drop(first);
    for again in [
        origin("one", &file),
        origin("two", &file),
        origin("three", Path::new("/elsewhere.yml")),
    ] {
        let again = chosen(folder.path(), &again);
        assert_eq!(
            (again.client_id(), again.state_file()),
            (client_id.as_str(), state_file.as_path())
        );
    }
}

#[test]
fn two_configurations_have_two_identities() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.yml", "b.yml"].map(|name| folder.path().join(name));
    files.iter().for_each(|file| fs::write(file, "").unwrap());
    let first = chosen(folder.path(), &origin("m", &files[0]))
        .client_id()
        .to_owned();
    let second = chosen(folder.path(), &origin("m", &files[1]));
    assert_ne!(second.client_id(), first);
    assert_eq!(
        chosen(folder.path(), &origin("m", &files[0])).client_id(),
        first
    );
}

#[test]
fn state_of_an_older_host_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let own = origin("m", Path::new("/etc/miqro.yml"));
    for stem in [
        own.client_id(0),
        "miqro0123456789abcdef".to_owned(),
        "house".to_owned(),
    ] {
        fs::write(folder.path().join(format!("{stem}.redb")), "").unwrap();
        fs::write(folder.path().join(format!("{stem}.redb.broken-1")), "").unwrap();
    }

    let identity = chosen(folder.path(), &own);
    assert_eq!(
        identity.state_file(),
        folder.path().join(format!("{}.redb", own.client_id(0)))
    );
    let named = Identity::choose(folder.path(), own, "house").unwrap();
    assert_eq!(named.state_file(), folder.path().join("house.redb"));
}

#[test]
fn a_configured_client_id_wins_and_the_state_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("miqro.yml");
    let own = origin("m", &file);
    let before = chosen(folder.path(), &own).state_file().to_owned();
    let named = Identity::choose(folder.path(), own, "house").unwrap();
    assert_eq!(named.state_file(), before);
    let mut config = Config::read(
        "broker: {host: b, client_id: house}",
        None,
        config::Selection::All,
    )
    .unwrap()
    .config;
    named.complete(&mut config);
    assert_eq!(connection(&config).client_id, "house");
    let mut config = Config::read("broker: {host: b}", None, config::Selection::All)
        .unwrap()
        .config;
    named.complete(&mut config);
    assert_eq!(connection(&config).client_id, named.client_id());
}

#[test]
fn a_damaged_record_costs_nothing_but_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let own = origin("m", Path::new("/etc/miqro.yml"));
    let first = chosen(folder.path(), &own);
    let client_id = first.client_id().to_owned();
    let record = record_of(first.state_file());
    drop(first);
    for damage in [&b""[..], &[0; 64], b"{\"client_id\":"] {
        fs::write(&record, damage).unwrap();
        assert_eq!(
            chosen(folder.path(), &origin("n", Path::new("/other.yml"))).client_id(),
            client_id
        );
        assert_eq!(chosen(folder.path(), &own).client_id(), client_id);
    }
}

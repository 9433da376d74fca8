//! How changes of files are seen: by notifications, and by checking.

#![allow(clippy::unwrap_used)]

use super::*;
use std::os::unix::fs::symlink;

const DEADLINE: Duration = Duration::from_secs(10);
/// Never by the clock: changes are seen by notifications of the operating system.
const NEVER: Duration = Duration::ZERO;

async fn changed(watch: &mut Watch) -> PathBuf {
    tokio::time::timeout(DEADLINE, watch.changed())
        .await
        .unwrap()
}

/// A file in a folder of its own, watched by notices.
fn watched(folder: &Path) -> (PathBuf, Watch) {
    let file = folder.join("a.wasm");
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(&file, "one").unwrap();
    let watch = Watch::new([file.clone()], NEVER).unwrap();
    (file, watch)
}

#[tokio::test]
async fn a_rename_over_the_file_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mut watch) = watched(folder.path());
    fs::write(folder.path().join("a.new"), "two").unwrap();
    fs::rename(folder.path().join("a.new"), &file).unwrap();
    assert_eq!(changed(&mut watch).await, file);
}

#[tokio::test]
async fn rewriting_in_place_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mut watch) = watched(folder.path());
    fs::write(&file, "three").unwrap();
    assert_eq!(changed(&mut watch).await, file);
}

#[tokio::test]
async fn switching_a_link_to_the_file_or_to_its_directory_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("a.wasm"), version).unwrap();
    }
    let current = folder.path().join("current");
    symlink("v1", &current).unwrap();
    let file = folder.path().join("a.wasm");
    symlink("current/a.wasm", &file).unwrap();
    let mut watch = Watch::new([file.clone()], NEVER).unwrap();
    symlink("v2", folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &current).unwrap();
    assert_eq!(changed(&mut watch).await, file);
    // and the directory that the link leads to now is watched too
    fs::write(folder.path().join("v2").join("a.wasm"), "version 3").unwrap();
    assert_eq!(changed(&mut watch).await, file);
}

/// As Kubernetes mounts a ConfigMap: each version in a directory of its own, `..data` a link to the one that counts, the files links
/// through it, and the former directory is removed.
#[tokio::test]
async fn a_switch_of_data_is_seen_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |number: u32| {
        let name = format!("..2026_{number}");
        fs::create_dir(at(&name)).unwrap();
        fs::write(at(&name).join("a.wasm"), number.to_string()).unwrap();
        symlink(&name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };

    version(1);
    symlink("..data/a.wasm", at("a.wasm")).unwrap();
    let mut watch = Watch::new([at("a.wasm")], NEVER).unwrap();
    for number in 2..6 {
        version(number);
        assert_eq!(changed(&mut watch).await, at("a.wasm"));
        assert_eq!(
            fs::read_to_string(at("a.wasm")).unwrap(),
            number.to_string()
        );
        fs::remove_dir_all(at(&format!("..2026_{}", number - 1))).unwrap();
    }
}

#[tokio::test]
async fn other_files_in_the_directory_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("b.wasm");
    fs::write(&other, "one").unwrap();
    let (file, mut watch) = watched(folder.path());
    fs::write(&other, "three").unwrap();
    fs::write(&file, "three").unwrap();
    assert_eq!(changed(&mut watch).await, file);
    assert!(watch.changed.is_empty());
}

/// Moved away and another moved in, in both orders of the file being there; and again with the new one.
#[tokio::test]
async fn a_directory_in_the_place_of_the_former_one_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("guests");
    let (file, mut watch) = watched(&directory);
    for round in 0..4 {
        let next = folder.path().join("next");
        fs::create_dir(&next).unwrap();
        fs::write(next.join("a.wasm"), format!("moved in {round}")).unwrap();
        fs::rename(&directory, folder.path().join(format!("former {round}"))).unwrap();
        if round % 2 == 0 {
            // it is seen that there is nothing
            assert_eq!(changed(&mut watch).await, file);
        }
        fs::rename(&next, &directory).unwrap();
        assert_eq!(changed(&mut watch).await, file);
        fs::write(&file, format!("rewritten in place {round}")).unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }
}

#[tokio::test]
async fn a_directory_that_is_deleted_and_made_again_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("deep/guests");
    let (file, mut watch) = watched(&directory);
    for round in 0..3 {
        fs::remove_dir_all(folder.path().join("deep")).unwrap();
        assert_eq!(changed(&mut watch).await, file);
        fs::create_dir_all(&directory).unwrap();
        fs::write(&file, format!("made again {round}")).unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }
}

/// Deleted and made again faster than anybody looks, so that the new directory may have the former one's number.
#[tokio::test]
async fn a_directory_that_is_made_again_at_once_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("guests");
    let (file, mut watch) = watched(&directory);
    for round in 0..10 {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(&file, format!("made again {round}")).unwrap();
        loop {
            // an empty file may have been seen first
            assert_eq!(changed(&mut watch).await, file);
            if watch.changed.is_empty() {
                break;
            }
        }

        fs::write(&file, format!("rewritten in place {round}")).unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }
}

/// A write through another name of the file, in another directory, is not reported to watchers of this one: as on a network file
/// system when another machine writes.
#[tokio::test]
async fn unnotified_changes_are_found_by_polling() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    let there = folder.path().join("there");
    for directory in [&here, &there] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(there.join("a.wasm"), "one").unwrap();
    fs::hard_link(there.join("a.wasm"), here.join("a.wasm")).unwrap();
    let mut watch = Watch::new([here.join("a.wasm")], Duration::from_millis(20)).unwrap();
    let mut deaf = Watch::new([here.join("a.wasm")], NEVER).unwrap();
    fs::write(there.join("a.wasm"), "three").unwrap();
    assert_eq!(changed(&mut watch).await, here.join("a.wasm"));
    assert!(
        deaf.changed.try_recv().is_err(),
        "there are notices of it: this test shows nothing"
    );
}

#[tokio::test]
async fn newly_watched_files_are_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mut watch) = watched(folder.path());
    let other = folder.path().join("b.wasm");
    fs::write(&other, "one").unwrap();
    watch.watch([other.clone()]);
    assert_eq!(changed(&mut watch).await, other);
    fs::write(&file, "three").unwrap();
    fs::write(&other, "three").unwrap();
    assert_eq!(changed(&mut watch).await, other);
    assert!(watch.changed.is_empty());
}

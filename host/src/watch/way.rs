//! The way to a file: the directories in which a change can make its path lead to something else.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Longest chain of symbolic links that is followed, as the kernel's own limit.
pub(super) const LINKS: usize = 40;

/// The directories in which a change can make `file` lead to something else: its own, those of the symbolic links on the way to it,
/// and, where the way ends before the file, the last one that there is: whatever comes first appears there.
pub(super) fn directories(file: &Path) -> Vec<PathBuf> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut found = Vec::new();
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut ahead = VecDeque::new();
    put(&file, &mut ahead);
    while let Some(step) = ahead.pop_front() {
        match step {
            Step::Root => at = PathBuf::from("/"),
            Step::Up => drop(at.pop()),
            Step::Name(name) => {
                let next = at.join(&name);
                let kind = fs::symlink_metadata(&next).map(|metadata| metadata.file_type());
                let link = kind.as_ref().is_ok_and(fs::FileType::is_symlink);
                if link || kind.is_err() || ahead.is_empty() {
                    found.push(at.clone());
                }
                if kind.is_err() || links == LINKS {
                    break;
                }
                if !link {
                    at = next;
                } else if let Ok(target) = fs::read_link(&next) {
                    links += 1;
                    put(&target, &mut ahead);
                }
            }
        }
    }

    found
}

/// One step of a path.
enum Step {
    Root,
    Up,
    Name(OsString),
}

/// Puts the steps of `path` before those that are there.
fn put(path: &Path, ahead: &mut VecDeque<Step>) {
    for component in path.components().rev() {
        match component {
            Component::Prefix(_) | Component::CurDir => {}
            Component::RootDir => ahead.push_front(Step::Root),
            Component::ParentDir => ahead.push_front(Step::Up),
            Component::Normal(name) => ahead.push_front(Step::Name(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_directory_that_decides_is_named_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["a/b", "c", "d/e"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let way = |file: &str| {
            let found = directories(&root.join(file));
            found
                .into_iter()
                .map(|path| path.strip_prefix(&root).unwrap().to_owned())
                .collect::<Vec<_>>()
        };

        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        fs::write(root.join("a/b/file"), "").unwrap();
        assert_eq!(way("a/b/file"), paths(&["a/b"]));
        assert_eq!(way("a/b/missing"), paths(&["a/b"]));
        assert_eq!(way("a/missing/file"), paths(&["a"]));
        // a link to a link to a directory
        symlink("../d/next", root.join("c/first")).unwrap();
        symlink(root.join("a/b"), root.join("d/next")).unwrap();
        assert_eq!(way("c/first/file"), paths(&["c", "d", "a/b"]));
        // a link that leads to itself
        symlink("round", root.join("round")).unwrap();
        assert_eq!(way("round/file").len(), LINKS + 1);
    }
}

//! Compiled functions of earlier versions: most functions of a large guest are those of its language's runtime, which the next version
//! has again. Only the others are compiled.
//!
//! wasmtime asks for a function by the SHA-256 of its code and of the compiler's settings. A file has the functions of one component:
//! their number, the key and the length of each, then their code. It is replaced by that of a successor with most of its functions. A
//! file is written under another name, synchronised and renamed, so a reader sees a whole one or none. As with the compile cache,
//! anyone who can write to the directory can run code as the host.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::CacheStore;

/// The most bytes that all files may have. The functions of a Python guest have some 50 MB.
const MAX_BYTES: u64 = 256 << 20;

/// A file is written when at least one of so many functions was compiled. A few always are: cranelift hashes what an earlier function of
/// the same thread has left behind, too.
const NEW: usize = 20;

/// Bytes of a key and the length behind it.
const INDEX_ENTRY: u64 = 36;

type Key = [u8; 32];

/// The functions of earlier components, and those of the components that this process compiles.
#[derive(Debug)]
pub(super) struct FunctionCache {
    directory: PathBuf,
    files: Vec<FunctionFile>,
    current: Mutex<Current>,
}

/// The functions of the components that this process compiles.
#[derive(Debug, Default)]
struct Current {
    functions: HashMap<Key, Vec<u8>>,
    /// How many of them were compiled, and not found.
    compiled: usize,
}

impl FunctionCache {
    /// Opens the cache in a directory, which is created when missing. Files that are not whole are left out.
    ///
    /// # Errors
    /// When the directory cannot be created or read.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let files = fs::read_dir(&directory)?
            .flatten()
            .filter_map(|entry| FunctionFile::open(entry.path()).ok())
            .collect();

        Ok(Self {
            directory,
            files,
            current: Mutex::default(),
        })
    }

    /// Keeps the functions of this process for the next one, unless almost all of them are kept already. Files that are superseded go,
    /// and the oldest ones beyond the limit.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub(super) fn save(&self) -> io::Result<()> {
        let current = std::mem::take(&mut *self.current());
        if current.compiled > 0 && current.compiled * NEW >= current.functions.len() {
            let path = write(&self.directory, &current.functions)?;
            let others = self.files.iter().filter(|file| file.path != path);
            for file in others.filter(|file| file.is_superseded()) {
                remove(&file.path)?;
            }
        }

        for file in &self.files {
            file.mark_as_used();
        }
        limit(&self.directory, MAX_BYTES)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // each change is one call, so there is nothing half done
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for FunctionCache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let key = Key::try_from(key).ok()?;
        if let Some(code) = self.current().functions.get(&key) {
            return Some(Cow::Owned(code.clone()));
        }

        let code = self.files.iter().find_map(|file| file.read(&key))?;
        self.current().functions.insert(key, code.clone());
        Some(Cow::Owned(code))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let Ok(key) = Key::try_from(key) else {
            return false;
        };

        let mut current = self.current();
        current.functions.insert(key, code);
        current.compiled += 1;
        true
    }
}

/// The functions of one component.
#[derive(Debug)]
struct FunctionFile {
    path: PathBuf,
    file: File,
    /// Offset and length of each function.
    index: HashMap<Key, (u64, u32)>,
    /// How many functions were read.
    used: AtomicUsize,
}

impl FunctionFile {
    /// Reads the index of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not whole.
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::new(&file);
        let mut number = [0; 4];
        reader.read_exact(&mut number)?;
        let number = u32::from_le_bytes(number);
        let mut offset = 4 + u64::from(number) * INDEX_ENTRY;
        if offset > length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }

        let mut index = HashMap::with_capacity(number as usize);
        for _ in 0..number {
            let mut key = Key::default();
            let mut size = [0; 4];
            reader.read_exact(&mut key)?;
            reader.read_exact(&mut size)?;
            let size = u32::from_le_bytes(size);
            index.insert(key, (offset, size));
            offset += u64::from(size);
        }
        if offset != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }

        drop(reader);
        Ok(Self {
            path,
            file,
            index,
            used: AtomicUsize::new(0),
        })
    }

    /// The code of a function; a function that cannot be read is compiled.
    fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let (offset, size) = *self.index.get(key)?;
        let mut code = vec![0; size as usize];
        self.file.read_exact_at(&mut code, offset).ok()?;
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(code)
    }

    /// Whether most of its functions were used, and so are in the file of the successor.
    fn is_superseded(&self) -> bool {
        self.used.load(Ordering::Relaxed) * 2 >= self.index.len()
    }

    fn mark_as_used(&self) {
        if self.used.load(Ordering::Relaxed) > 0 {
            // a file that cannot be marked is removed a little earlier
            let _ = self.file.set_modified(SystemTime::now());
        }
    }
}

/// Writes functions to a file that is named after their keys, and returns its path.
fn write(directory: &Path, functions: &HashMap<Key, Vec<u8>>) -> io::Result<PathBuf> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let mut sorted: Vec<(&Key, &Vec<u8>)> = functions.iter().collect();
    sorted.sort_unstable();
    let mut name = Sha256::new();
    let mut file = BufWriter::new(NamedTempFile::new_in(directory)?);
    let number = u32::try_from(sorted.len()).map_err(too_large)?;
    file.write_all(&number.to_le_bytes())?;
    for (key, code) in &sorted {
        name.update(key);
        let size = u32::try_from(code.len()).map_err(too_large)?;
        file.write_all(*key)?;
        file.write_all(&size.to_le_bytes())?;
    }
    for (_, code) in &sorted {
        file.write_all(code)?;
    }

    let file = file.into_inner()?;
    file.as_file().sync_all()?;
    let path = directory.join(BASE64_URL_SAFE_NO_PAD.encode(name.finalize()));
    file.persist(&path)?;
    Ok(path)
}

/// Removes the files that were used longest ago while all of them have more than `bytes` bytes. The newest one stays.
fn limit(directory: &Path, bytes: u64) -> io::Result<()> {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory)?.flatten() {
        // another process may have removed it meanwhile
        if let Ok(metadata) = entry.metadata() {
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
    }
    files.sort_unstable();

    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    files.pop();
    for (_, length, path) in files {
        if total <= bytes {
            break;
        }
        remove(&path)?;
        total -= length;
    }
    Ok(())
}

/// Removes a file that another process may have removed meanwhile.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn key(number: u8) -> Key {
        [number; 32]
    }

    /// Compiles a component with these functions: finds them, or makes them of their number. Returns the numbers of those that were made.
    fn compile(directory: &Path, functions: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let cache = FunctionCache::open(directory.to_owned()).unwrap();
        let mut made = Vec::new();
        for number in functions {
            let code = vec![number; usize::from(number)];
            match cache.get(&key(number)) {
                Some(found) => assert_eq!(found, code),
                None => {
                    assert!(cache.insert(&key(number), code));
                    made.push(number);
                }
            }
        }
        cache.save().unwrap();
        made
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn functions_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(compile(directory.path(), [0, 1, 2, 3, 3]), [0, 1, 2, 3]);
        assert!(compile(directory.path(), [3, 2, 1, 0]).is_empty());
        assert_eq!(compile(directory.path(), [1, 2, 3, 4]), [4]);
        assert!(compile(directory.path(), [1, 2, 3, 4]).is_empty());
    }

    #[test]
    fn a_file_is_not_written_for_few_functions() {
        let directory = tempfile::tempdir().unwrap();
        compile(directory.path(), 0..100);
        for _ in 0..2 {
            assert_eq!(compile(directory.path(), 0..104).len(), 4);
        }
        assert_eq!(compile(directory.path(), 0..106).len(), 6);
        assert!(compile(directory.path(), 0..106).is_empty());
    }

    #[test]
    fn a_successor_replaces_the_file_and_another_component_does_not() {
        let directory = tempfile::tempdir().unwrap();
        compile(directory.path(), 0..10);
        compile(directory.path(), 1..11);
        assert_eq!(files(directory.path()), 1);
        compile(directory.path(), 9..30);
        assert_eq!(files(directory.path()), 2);
        assert!(compile(directory.path(), 1..30).is_empty());
    }

    #[test]
    fn files_that_are_not_whole_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        compile(directory.path(), 0..10);
        let path = fs::read_dir(directory.path()).unwrap().next().unwrap();
        let path = path.unwrap().path();
        let whole = fs::read(&path).unwrap();
        for length in [0, 3, 4, 100, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(compile(directory.path(), 0..10).len(), 10, "{length}");
            assert!(compile(directory.path(), 0..10).is_empty(), "{length}");
        }
        fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert_eq!(compile(directory.path(), 0..10).len(), 10);
    }

    #[test]
    fn the_files_that_were_used_longest_ago_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (age, name) in [(3, "a"), (1, "b"), (2, "c")] {
            let path = directory.path().join(name);
            fs::write(&path, [0; 10]).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }

        for (bytes, expected) in [(30, "abc"), (29, "bc"), (10, "b"), (0, "b")] {
            limit(directory.path(), bytes).unwrap();
            let mut left: Vec<_> = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            left.sort_unstable();
            assert_eq!(left.concat(), expected);
        }
    }
}

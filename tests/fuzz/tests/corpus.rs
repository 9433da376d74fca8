//! Every input of the corpus is tried: those that a fuzzer found once, and those that it begins with.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;

use miqro_fuzz::TARGETS;

#[test]
fn every_input_does_what_always_holds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        assert!(
            files.len() >= 5,
            "{} inputs in {}",
            files.len(),
            folder.display()
        );

        for file in files {
            // when it panics, the last line says with which
            println!("{}", file.display());
            target(&std::fs::read(&file).expect("a file that can be read"));
        }
    }
}

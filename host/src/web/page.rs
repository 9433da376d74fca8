//! The files of the page, as they are in the folder `page`: no build makes them. They hold no secret, so everybody may read them.

/// A file: its path, its content type, and its content.
pub(super) type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: [File; 21] = [
    ("/api.js", SCRIPT, include_bytes!("page/api.js")),
    ("/app.js", SCRIPT, include_bytes!("page/app.js")),
    ("/deploy.js", SCRIPT, include_bytes!("page/deploy.js")),
    ("/format.js", SCRIPT, include_bytes!("page/format.js")),
    ("/graph.js", SCRIPT, include_bytes!("page/graph.js")),
    ("/icon.svg", SVG, include_bytes!("page/icon.svg")),
    ("/index.html", HTML, include_bytes!("page/index.html")),
    ("/log.js", SCRIPT, include_bytes!("page/log.js")),
    ("/messages.js", SCRIPT, include_bytes!("page/messages.js")),
    ("/overview.js", SCRIPT, include_bytes!("page/overview.js")),
    ("/rows.js", SCRIPT, include_bytes!("page/rows.js")),
    ("/service.js", SCRIPT, include_bytes!("page/service.js")),
    ("/services.js", SCRIPT, include_bytes!("page/services.js")),
    ("/store.js", SCRIPT, include_bytes!("page/store.js")),
    ("/style.css", CSS, include_bytes!("page/style.css")),
    ("/topics.js", SCRIPT, include_bytes!("page/topics.js")),
    ("/ui.js", SCRIPT, include_bytes!("page/ui.js")),
    (
        "/vendor/htm.mjs",
        SCRIPT,
        include_bytes!("page/vendor/htm.mjs"),
    ),
    (
        "/vendor/preact.mjs",
        SCRIPT,
        include_bytes!("page/vendor/preact.mjs"),
    ),
    (
        "/vendor/uplot.css",
        CSS,
        include_bytes!("page/vendor/uplot.css"),
    ),
    (
        "/vendor/uplot.mjs",
        SCRIPT,
        include_bytes!("page/vendor/uplot.mjs"),
    ),
];

/// The file at `path`.
pub(super) fn find(path: &str) -> Option<&'static File> {
    let path = if path == "/" { "/index.html" } else { path };
    FILES.iter().find(|(known, ..)| *known == path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page")
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let served: BTreeSet<String> = FILES.iter().map(|(path, ..)| (*path).to_owned()).collect();
        let mut there = BTreeSet::new();
        for (directory, prefix) in [(folder(), "/"), (folder().join("vendor"), "/vendor/")] {
            for entry in std::fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let is_for_people = name.starts_with("LICENSE") || name == "VERSIONS";
                if entry.file_type().unwrap().is_file() && !is_for_people {
                    there.insert(format!("{prefix}{name}"));
                }
            }
        }

        assert_eq!(served, there);
    }

    #[test]
    fn vendored_files_are_those_of_the_list_and_have_their_licences() {
        let vendor = folder().join("vendor");
        let list = std::fs::read_to_string(vendor.join("VERSIONS")).unwrap();
        let mut listed = BTreeSet::new();
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, hash, package) = (words[0], words[1], words[2]);
            let digest = Sha256::digest(std::fs::read(vendor.join(name)).unwrap());
            assert_eq!(hex::encode(digest), hash, "{name}");
            assert!(vendor.join(format!("LICENSE.{package}")).exists());
            listed.insert(format!("/vendor/{name}"));
        }

        let served = FILES.iter().map(|(path, ..)| (*path).to_owned());
        let served: BTreeSet<String> = served.filter(|path| path.contains("vendor")).collect();
        assert_eq!(served, listed);
    }

    #[test]
    fn page_makes_no_markup_of_texts_and_loads_nothing_from_elsewhere() {
        for (path, _, content) in FILES.iter().filter(|(path, ..)| !path.contains("vendor")) {
            let text = std::str::from_utf8(content).unwrap();
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "localStorage",
            ] {
                assert!(!text.contains(forbidden), "{path}: {forbidden}");
            }

            let urls = text.matches("http").count();
            let namespaces = text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(urls, namespaces, "{path} names an address");
        }
    }
}

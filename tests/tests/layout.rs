//! The rules of ARCHITECTURE.md for the sources of the host: layers, circles of imports, the places of third-party crates, limits
//! of pure code, and the length of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use miqro_tests::place;
use syn::visit::{self, Visit};

/// Layers, from the words that every module may use to the wiring that may use every module. A module may use its own layer and
/// those above it in this list. The longest entry that fits decides, so parts of a module may lie in another layer.
const LAYERS: [(&str, &[&str]); 6] = [
    (
        "words",
        &[
            "topic",
            "text",
            "message",
            "offline",
            "effects",
            "backoff",
            "token_bucket",
            "panic_hook",
            "password",
            "pem",
            "tap",
            "secure_dir",
            "priority",
            "rejection_log",
            "signature",
            "span",
            "fault_kind",
            "trace_context",
            "traces",
            "version",
        ],
    ),
    (
        "pure",
        &[
            "apigear",
            "config",
            "mailbox",
            "mqtt_control::changes",
            "mqtt_control::home_assistant",
            "mqtt_control::problem_log",
            "mqtt_control::topics",
            "recording",
            "rollout::comparison",
            "rollout::compatibility",
            "rollout::history",
            "rollout::probation",
            "router",
            "session::capability_probe",
            "session::event_throttle",
            "session::loop_detector",
            "session::outage",
            "session::presence_status",
            "session::schedule",
            "service::retry",
            "service::usage::rate_limits",
            "service::usage::statistics",
            "service::usage::throttled_log",
            "session::packet",
            "session::republisher",
            "session::retained_cache",
            "session::state",
            "timers::heap",
            "timers::set",
            "typed",
            "web::failures",
            "web::guard",
            "web::sessions",
        ],
    ),
    (
        "machines",
        &[
            "guest",
            "service_ctx",
            "session::codec",
            "session::transport",
        ],
    ),
    (
        "actors",
        &[
            "request_reply",
            "rollout",
            "service",
            "session",
            "store",
            "supervisor",
            "timers",
            "watch",
        ],
    ),
    (
        "surfaces",
        &[
            "broker",
            "control",
            "daemon",
            "logging",
            "mqtt_control",
            "project",
            "testing",
            "traces::collector",
            "traces::exporter",
            "web",
        ],
    ),
    ("wiring", &["app", "cli", "lib", "main"]),
];

/// Third-party crates, and the only modules that may name them.
const CRATES: [(&str, &[&str]); 32] = [
    ("argon2", &["password"]),
    ("base64", &["guest", "recording", "typed"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("form_urlencoded", &["control", "web"]),
    ("getrandom", &["password", "web"]),
    ("hyper", &["control", "guest", "traces", "web"]),
    ("hyper_util", &["control", "traces", "web"]),
    ("ignore", &["cli"]),
    ("minisign_verify", &["signature"]),
    ("mqtt5", &["broker"]),
    ("notify", &["watch"]),
    ("prometheus_client", &["web"]),
    ("prost", &["traces"]),
    ("rand_core", &["guest"]),
    ("ratatui", &["cli"]),
    ("rayon", &["guest"]),
    ("redb", &["store"]),
    ("rpassword", &["cli"]),
    ("rumqttc", &["session::codec"]),
    ("rustix", &["daemon", "guest", "priority", "secure_dir"]),
    ("saphyr_parser", &["config"]),
    ("subtle", &["web"]),
    ("thread_priority", &["priority"]),
    ("wasi_preview1_component_adapter_provider", &["project"]),
    ("wasmtime", &["guest"]),
    ("wasmtime_wasi", &["guest"]),
    ("wasmtime_wasi_http", &["guest"]),
    ("wit_component", &["project"]),
    ("wit_parser", &["apigear", "guest"]),
    ("wit_parser_of_component", &["project"]),
];

/// Modules that never use another one, although their layers would allow it.
const NEVER: [(&str, &str); 2] = [("guest", "service"), ("store", "service")];

/// Most lines of a file, without its tests.
const LONGEST_FILE: usize = 400;

/// Pure modules that log.
const PURE_BUT_LOGS: [&str; 1] = ["mailbox::spill_queue"];

/// One source file of the host.
struct Source {
    /// Its module, as in `session::state`.
    module: String,
    text: String,
    /// Every path in it, outside of tests, as in `crate::message::Message`.
    paths: BTreeSet<String>,
}

impl Source {
    /// Whether it is a file of tests.
    fn is_test(&self) -> bool {
        self.module.split("::").any(|part| part == "tests")
    }
}

#[test]
fn modules_use_only_layers_above_them() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        let Some((own, name)) = layer_of(&source.module) else {
            wrong.push(format!(
                "{} is in no layer: write it into LAYERS",
                source.module
            ));
            continue;
        };

        for path in source
            .paths
            .iter()
            .filter_map(|path| path.strip_prefix("crate::"))
        {
            if let Some((_, below)) = layer_of(path).filter(|(other, _)| *other > own) {
                wrong.push(format!(
                    "{} ({name}) uses crate::{path} ({below})",
                    source.module
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn modules_never_use_the_ones_that_are_built_on_them() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        let used = |module: &str| {
            source
                .paths
                .iter()
                .filter_map(|path| path.strip_prefix("crate::"))
                .any(|path| within(path, module))
        };

        for (user, module) in NEVER {
            if within(&source.module, user) && used(module) {
                wrong.push(format!("{} uses crate::{module}", source.module));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn files_import_each_other_in_no_circle() -> Result<()> {
    let sources = sources()?;
    let found: Vec<String> = circles(&imports(&sources))
        .into_iter()
        .map(|circle| circle.join(" <-> "))
        .collect();

    assert!(
        found.is_empty(),
        "files that import each other:\n{}",
        found.join("\n")
    );
    Ok(())
}

#[test]
fn circles_are_found_across_several_files() {
    let graph = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in graph {
        edges.entry(from.into()).or_default().insert(to.into());
    }
    assert_eq!(circles(&edges), [["a", "b", "c"]]);

    edges.insert("e".into(), BTreeSet::from(["d".into()]));
    assert_eq!(circles(&edges).len(), 2);
}

/// `now` is an argument of pure code, so that tests decide the time.
#[test]
fn pure_modules_have_no_clock_no_task_and_no_log() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        let Some((_, layer @ ("words" | "pure"))) = layer_of(&source.module) else {
            continue;
        };
        if source.is_test() {
            continue;
        }
        let may_log = layer == "words" || PURE_BUT_LOGS.contains(&source.module.as_str());
        for path in &source.paths {
            let reads_clock = path.ends_with("Instant::now") || path.ends_with("SystemTime::now");
            let spawns = layer == "pure" && path.ends_with("::spawn");
            let logs = !may_log && within(path, "tracing");
            if reads_clock || spawns || logs {
                wrong.push(format!("{} ({layer}) uses {path}", source.module));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn third_party_names_stand_at_one_place() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        for (name, homes) in CRATES {
            let used = source
                .paths
                .iter()
                .any(|path| path.split("::").next() == Some(name));
            if used && !source.is_test() && !homes.iter().any(|home| within(&source.module, home)) {
                wrong.push(format!(
                    "{} uses {name}, whose place is {homes:?}",
                    source.module
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn files_begin_with_a_header_and_are_short() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        if !source.text.starts_with("//!") {
            wrong.push(format!("{} does not open with //!", source.module));
        }
        let lines = source
            .text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        if source.is_test() {
            continue;
        }
        if lines > LONGEST_FILE {
            wrong.push(format!("{} has {lines} lines without tests", source.module));
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn paths_are_found_wherever_they_stand() -> Result<()> {
    let text = "use crate::{topic::Topic, session::{self, state as s}};\n\
        fn f(x: super::codec::Codec) { let _ = self::link::dial(); json!(crate::message::Message) }\n\
        #[cfg(test)] mod tests { use crate::app::App; }";
    let found: Vec<String> = paths("session::task", text)?
        .into_iter()
        .filter(|path| path.starts_with("crate"))
        .collect();
    let expected = [
        "crate::message::Message",
        "crate::session",
        "crate::session::codec::Codec",
        "crate::session::state",
        "crate::session::task::link::dial",
        "crate::topic::Topic",
    ];

    assert_eq!(found, expected);
    Ok(())
}

/// The files that each file imports, by module. A file and the file of a module around it count as one: re-exports, and imports
/// from `super`, are not a circle.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<&str> = sources
        .iter()
        .map(|source| source.module.as_str())
        .collect();
    let file_of = |path: &str| {
        let mut path = path.strip_prefix("crate::")?;
        while !modules.contains(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };

    sources
        .iter()
        .map(|source| {
            let imported = source
                .paths
                .iter()
                .filter_map(|path| file_of(path))
                .filter(|file| !within(file, &source.module) && !within(&source.module, file))
                .collect();

            (source.module.clone(), imported)
        })
        .collect()
}

/// Groups of files that reach each other, sorted.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports
        .keys()
        .map(|file| (file, reachable(imports, file)))
        .collect();
    let reaches = |from: &String, to: &String| {
        reached
            .get(from)
            .is_some_and(|reached| reached.contains(to))
    };

    let mut circles = BTreeSet::new();
    for file in imports.keys().filter(|file| reaches(file, file)) {
        let circle: Vec<String> = imports
            .keys()
            .filter(|other| reaches(file, other) && reaches(other, file))
            .cloned()
            .collect();
        circles.insert(circle);
    }

    circles.into_iter().collect()
}

fn reachable<'a>(
    imports: &'a BTreeMap<String, BTreeSet<String>>,
    from: &str,
) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = imports.get(from).into_iter().flatten().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(imports.get(file).into_iter().flatten());
        }
    }

    reached
}

/// The number and the name of the layer of a module, or of an item in one.
fn layer_of(path: &str) -> Option<(usize, &'static str)> {
    let fits = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(number, (name, modules))| {
            modules
                .iter()
                .filter(|module| within(path, module))
                .map(move |module| (module.len(), number, *name))
        });
    fits.max().map(|(_, number, name)| (number, name))
}

/// Whether `path` is `module` or lies in it.
fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn sources() -> Result<Vec<Source>> {
    let root = place::project().join("host/src");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    assert!(
        files.len() > 5,
        "the host's sources are not at {}",
        root.display()
    );
    files.into_iter().map(|file| read(&root, &file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }

    Ok(())
}

fn read(root: &Path, file: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(file)?;
    let inside = file.strip_prefix(root)?.with_extension("");
    let module = inside
        .iter()
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join("::");
    let paths = paths(&module, &text).with_context(|| file.display().to_string())?;
    Ok(Source {
        module,
        text,
        paths,
    })
}

/// Every path in `text`, outside of tests, with `self` and `super` resolved.
fn paths(module: &str, text: &str) -> Result<BTreeSet<String>> {
    let mut found = Paths {
        module: module.to_owned(),
        paths: BTreeSet::new(),
    };
    found.visit_file(&syn::parse_file(text)?);
    Ok(found.paths)
}

struct Paths {
    module: String,
    paths: BTreeSet<String>,
}

impl Paths {
    fn add(&mut self, parts: &[String]) {
        let ups = parts.iter().take_while(|part| *part == "super").count();
        let own: Vec<&str> = self.module.split("::").collect();
        let base = match parts.first().map(String::as_str) {
            Some("super") => &own[..own.len().saturating_sub(ups)],
            Some("self") => &own[..],
            _ => {
                self.paths.insert(parts.join("::"));
                return;
            }
        };

        let rest = parts[ups.max(1)..].iter().map(String::as_str);
        self.paths.insert(
            std::iter::once("crate")
                .chain(base.iter().copied())
                .chain(rest)
                .collect::<Vec<_>>()
                .join("::"),
        );
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| {
            let name = name.to_string();
            // `a::{self}` is `a`
            if name == "self" && !before.is_empty() {
                before.to_vec()
            } else {
                [before, &[name]].concat()
            }
        };

        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(before, item))
            }
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.add(
                &path
                    .segments
                    .iter()
                    .map(|segment| segment.ident.to_string())
                    .collect::<Vec<_>>(),
            );
        }

        visit::visit_path(self, path);
    }

    /// The arguments of a macro are not a syntax tree: words with `::` in them count, also in string literals.
    fn visit_macro(&mut self, invocation: &'a syn::Macro) {
        let text = invocation.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            let parts: Vec<String> = word
                .trim_matches(':')
                .split("::")
                .map(str::to_owned)
                .collect();
            if parts.len() > 1 {
                self.add(&parts);
            }
        }

        visit::visit_macro(self, invocation);
    }
}

fn is_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|name| name == "test")
}

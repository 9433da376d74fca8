//! Building: the tools of each language, one after the other.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

use super::encode::{self, EncodeError};
use super::tools::{self, MissingTool, Tool};
use super::{BUILD_FOLDER, Engine, Language, Project};

/// A project cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is missing.
    #[error(transparent)]
    Missing(#[from] MissingTool),
    /// A tool cannot be started.
    #[error("{program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A tool has failed. It has printed why.
    #[error("{program} has failed: {status}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit code or signal.
        status: ExitStatus,
    },
    /// A module cannot become a component.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// `cargo` has built no component.
    #[error(
        "cargo has built no component: expected crate-type = [\"cdylib\"] in the section [lib] of Cargo.toml"
    )]
    NoComponent,
    /// A language has one engine only, or none.
    #[error("expected a service in JavaScript or TypeScript for --web, found one in {0}")]
    NotForWeb(Language),
}

/// Builds the component of `project`, and puts it at its place with a rename: a host that watches it never sees half of it.
pub(super) fn build(project: &Project, engine: Engine) -> Result<PathBuf, BuildError> {
    let is_javascript = matches!(
        project.language,
        Language::JavaScript | Language::TypeScript
    );
    if engine == Engine::SpiderMonkey && !is_javascript {
        return Err(BuildError::NotForWeb(project.language));
    }

    let folder = project.folder.join(BUILD_FOLDER);
    std::fs::create_dir_all(&folder).map_err(in_file(&folder))?;

    let built = match project.language {
        Language::Rust => rust(project)?,
        Language::Python => python(project)?,
        Language::JavaScript | Language::TypeScript => javascript(project, engine)?,
        Language::C | Language::Cpp => c(project)?,
        Language::Go => go(project)?,
    };

    let component = project.component();
    // the file may come from a cache that keeps it, so it is copied and not moved
    let new = project.folder.join(format!(".{}.wasm.new", project.name));
    std::fs::copy(project.folder.join(&built), &new).map_err(in_file(&new))?;
    std::fs::rename(&new, &component).map_err(in_file(&component))?;
    Ok(component)
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::File {
        path: path.clone(),
        source,
    }
}

/// A call of a tool.
struct Call<'a> {
    project: &'a Project,
    command: Command,
}

impl<'a> Call<'a> {
    fn new(project: &'a Project, tool: &Tool) -> Result<Self, BuildError> {
        let program = tool.find(&project.folder)?;
        let mut command = Command::new(program);
        command.current_dir(&project.folder).stdin(Stdio::null());
        Ok(Self { project, command })
    }

    fn arguments<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments.into_iter().map(Into::into));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn run(mut self) -> Result<(), BuildError> {
        let program = PathBuf::from(self.command.get_program());
        let status = self.command.status();
        check(program, status)
    }

    /// Runs it and returns what it prints on standard output.
    fn output(mut self) -> Result<String, BuildError> {
        let program = PathBuf::from(self.command.get_program());
        let output = self.command.stderr(Stdio::inherit()).output();
        match output {
            Ok(output) => {
                check(program, Ok(output.status))?;
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            Err(source) => Err(BuildError::Start { program, source }),
        }
    }

    /// The arguments that name the WIT and the world.
    fn world(self, world_option: &str) -> Self {
        let world = self.project.world();
        self.arguments([world_option, world])
    }
}

fn check(program: PathBuf, status: io::Result<ExitStatus>) -> Result<(), BuildError> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BuildError::Failed { program, status }),
        Err(source) => Err(BuildError::Start { program, source }),
    }
}

/// The component is what cargo says that it has built.
fn rust(project: &Project) -> Result<PathBuf, BuildError> {
    let output = Call::new(project, &tools::CARGO)?
        .arguments(["build", "--release", "--target", "wasm32-wasip2"])
        .arguments(["--message-format", "json-render-diagnostics"])
        .output()?;

    let component = output.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let files = message["filenames"].as_array()?;
        let mut files = files.iter().filter_map(Value::as_str);
        files
            .find(|file| file.ends_with(".wasm"))
            .map(PathBuf::from)
    });

    component.ok_or(BuildError::NoComponent)
}

fn python(project: &Project) -> Result<PathBuf, BuildError> {
    let component = project.intermediate("component.wasm");
    Call::new(project, &tools::COMPONENTIZE_PY)?
        .arguments(["-d", "wit"])
        .world("-w")
        .arguments(["componentize", "app", "-o"])
        .arguments([&component])
        .run()?;

    Ok(component)
}

fn javascript(project: &Project, engine: Engine) -> Result<PathBuf, BuildError> {
    let source = if project.language == Language::TypeScript {
        Call::new(project, &tools::TSC)?
            .arguments(["--noEmit"])
            .run()?;
        "src/app.ts"
    } else {
        "src/app.js"
    };

    let bundle = project.intermediate("bundle.mjs");
    Call::new(project, &tools::ESBUILD)?
        .arguments([source, "--bundle", "--format=esm", "--external:miqro:*"])
        .arguments(["--log-level=warning", "--target=es2023"])
        .arguments([format!("--outfile={}", bundle.display())])
        .run()?;

    let component = project.intermediate("component.wasm");
    let call = match engine {
        // a third quicker to build and smaller, for calls that take a sixth longer
        Engine::QuickJs => Call::new(project, &tools::COMPONENTIZE_QJS)?
            .arguments(["--sync", "--opt-size", "-j"])
            .arguments([&bundle]),
        Engine::SpiderMonkey => Call::new(project, &tools::COMPONENTIZE_JS)?.arguments([&bundle]),
    };

    call.arguments(["--wit", "wit"])
        .world("-n")
        .arguments(["-o".into(), component.clone()])
        .run()?;
    Ok(component)
}

/// The stack is small, because a memory of the default size would be larger than a service needs.
fn c(project: &Project) -> Result<PathBuf, BuildError> {
    let is_cpp = project.language == Language::Cpp;
    let call = Call::new(project, &tools::ZIG_OR_CLANG)?;
    let is_zig = !call
        .command
        .get_program()
        .to_string_lossy()
        .contains("clang");
    let call = match (is_zig, is_cpp) {
        (true, true) => call.arguments(["c++", "-target", "wasm32-wasi"]),
        (true, false) => call.arguments(["cc", "-target", "wasm32-wasi"]),
        (false, true) => call.arguments(["--driver-mode=g++", "--target=wasm32-wasi"]),
        (false, false) => call.arguments(["--target=wasm32-wasi"]),
    };

    let source = if is_cpp { "app.cpp" } else { "app.c" };
    let standard = if is_cpp {
        ["-std=c++20", "-fno-exceptions"].as_slice()
    } else {
        ["-std=gnu17"].as_slice()
    };

    let module = project.intermediate("module.wasm");
    call.arguments(standard.iter().copied())
        .arguments(["-Os", "-Wall", "-Wextra", "-mexec-model=reactor"])
        .arguments(["-Wl,-z,stack-size=65536", source, "-o"])
        .arguments([&module])
        .run()?;
    encoded(project, &module)
}

fn go(project: &Project) -> Result<PathBuf, BuildError> {
    let module = project.intermediate("module.wasm");
    Call::new(project, &tools::GO)?
        .variable("GOOS", "wasip1")
        .variable("GOARCH", "wasm")
        .variable("GOFLAGS", "-mod=mod")
        .variable("GOTOOLCHAIN", "local")
        .arguments(["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o"])
        .arguments([&module])
        .run()?;

    encoded(project, &module)
}

/// Makes a component of a core module.
fn encoded(project: &Project, module: &Path) -> Result<PathBuf, BuildError> {
    let file = project.folder.join(module);
    let bytes = std::fs::read(&file).map_err(in_file(&file))?;
    let component = encode::component(bytes, &project.folder.join("wit"), project.world())?;

    let path = project.intermediate("component.wasm");
    let file = project.folder.join(&path);
    std::fs::write(&file, component).map_err(in_file(&file))?;
    Ok(path)
}

//! The bench. It prints a report on standard output, progress on standard error, and figures as JSON
//! on request. It asserts nothing: figures are for reading.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod broker;
mod contender;
mod estimate;
mod load;
mod machine;
mod options;
mod process;
mod report;
mod samples;
mod scenario;
mod wire;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Parser;

use contender::{Contender, Programs, call, handler, native, raw};
use machine::Usage;
use options::{Measurement, Options, Role};
use report::{Report, Section};
use scenario::echo::Path;
use scenario::{
    Plan, at_least_once, cold, echo, echo_table, hostile, idle, recovery, slow, swap, typed,
    watched,
};

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match &options.contender {
        Some(Role::Native(place)) => runtime.block_on(native::run(place.port)),
        Some(Role::Handler(place)) => {
            runtime.block_on(handler::run(Contender::Handler, place.port))
        }
        Some(Role::Prompt(place)) => runtime.block_on(handler::run(Contender::Prompt, place.port)),
        Some(Role::Raw(place)) => runtime.block_on(raw::run(place.port, place.qos)),
        Some(Role::Call { component }) => runtime.block_on(call::run(component)),
        None => {
            let report = runtime.block_on(measure(&options))?;
            println!("{report}");
            if let Some(file) = &options.json {
                std::fs::write(file, serde_json::to_string_pretty(&report.json())?)?;
            }
            Ok(())
        }
    }
}

async fn measure(options: &Options) -> Result<Report> {
    let temporary = tempfile::tempdir()?;
    let programs = programs(options, temporary.path().to_owned())?;
    let mut plan = if options.full {
        Plan::full()
    } else {
        Plan::quick()
    };
    plan.rounds = options.rounds.unwrap_or(plan.rounds);
    let mut report = Report::default();
    let before = Usage::now();
    for measurement in Measurement::ALL {
        if options.wants(measurement) {
            eprintln!("{measurement:?}");
            match section(measurement, &programs, &plan).await {
                Ok(section) => report.sections.push(section),
                Err(error) => eprintln!("{measurement:?} failed: {error:#}"),
            }
        }
    }

    report.doubts = before.doubts_until(Usage::now());
    for section in &mut report.sections {
        report.doubts.append(&mut section.doubts);
    }
    Ok(report)
}

async fn section(measurement: Measurement, programs: &Programs, plan: &Plan) -> Result<Section> {
    match measurement {
        Measurement::Direct => echo_section(programs, plan, Path::Direct).await,
        Measurement::Mosquitto => echo_section(programs, plan, Path::Mosquitto).await,
        Measurement::Embedded => echo_section(programs, plan, Path::Embedded).await,
        Measurement::AtLeastOnce => at_least_once::measure(programs, plan).await,
        Measurement::Recovery => recovery::measure(programs, plan).await,
        Measurement::Cold => Ok(cold::measure(programs, plan).await),
        Measurement::Swap => swap::measure(programs, plan).await,
        Measurement::Hostile => hostile::measure(programs, plan).await,
        Measurement::Slow => slow::measure(programs, plan).await,
        Measurement::Watched => watched::measure(programs, plan).await,
        Measurement::Typed => typed::measure(programs, plan).await,
        Measurement::Idle => idle::memory(programs).await,
        Measurement::Ticking => idle::ticking(programs, plan).await,
    }
}

async fn echo_section(programs: &Programs, plan: &Plan, path: Path) -> Result<Section> {
    let mut who = Contender::ALL.to_vec();
    who.extend((path == Path::Direct && plan.ceiling).then_some(Contender::Raw));
    let cells = echo::measure(programs, plan, path, &who).await?;
    let mut section = echo_table::section(path, &cells);
    if path == Path::Direct {
        echo_table::add_guest_call(&mut section, &cells, programs.guest_calls());
    }
    Ok(section)
}

fn programs(options: &Options, temporary: PathBuf) -> Result<Programs> {
    let dir = options.dir.clone().unwrap_or(temporary);
    std::fs::create_dir_all(&dir)?;
    let absolute =
        |path: &PathBuf| std::path::absolute(path).with_context(|| format!("{}", path.display()));
    let host = match &options.host {
        Some(host) => host.clone(),
        None => std::env::current_exe()?.with_file_name("miqro-host"),
    };
    anyhow::ensure!(
        host.is_file(),
        "there is no host at {}; build it with `make build`",
        host.display()
    );
    Ok(Programs {
        host: absolute(&host)?,
        guests: absolute(&options.guests)?,
        python: options.python.clone().or_else(find_python),
        dir: absolute(&dir)?,
    })
}

/// The first Python that can import paho: that of `scripts/setup-tests`, or the system's.
fn find_python() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let tools = variable("MIQRO_TOOLS").or_else(|| Some(cache?.join("miqro-host/tools")));
    let candidates = tools
        .map(|tools| tools.join("python/bin/python"))
        .into_iter()
        .chain([PathBuf::from("python3")]);
    let imports = |python: &PathBuf| {
        let output = Command::new(python)
            .args(["-c", "import paho.mqtt.client"])
            .output();
        output.is_ok_and(|output| output.status.success())
    };

    candidates.into_iter().find(imports)
}

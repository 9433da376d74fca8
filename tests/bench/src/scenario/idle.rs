//! Many services: memory of idle ones, CPU of ticking ones. The generator plays broker.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::Plan;
use crate::contender::{Programs, remote, service};
use crate::load::Listener;
use crate::process::{Process, tail};
use crate::report::{Aim, Section, Table, Value};

/// How many services are started.
const NUMBERS: [usize; 4] = [1, 100, 1_000, 10_000];
/// How many services tick.
const TICKING: usize = 10_000;
/// One in so many ticking services publishes on each tick, which shows that they tick.
const SAYING: usize = 100;
const START: Duration = Duration::from_secs(120);

/// A host with many services, all of them subscribed.
struct Many {
    host: Process,
    listener: Listener,
    start: Duration,
}

impl Many {
    /// `keys`: further keys of the service with that number.
    async fn start(
        programs: &Programs,
        guest: &str,
        number: usize,
        keys: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let listener = Listener::new("nobody/asks").await?;
        let mut services = String::new();
        for i in 0..number {
            write!(
                services,
                "{}{}",
                service(&format!("s{i:05}"), &programs.guests.join(guest)),
                keys(i)
            )?;
        }

        let config =
            programs.config("many", &remote(listener.port), &programs.cache(), &services)?;
        let log = programs.dir.join("many.log");
        let began = Instant::now();
        let mut host = programs.host(&config, &log)?;
        let all = listener
            .wait_for_subscriptions(number as u64, &mut host, START)
            .await;
        all.with_context(|| format!("{number} services: {}", tail(&log)))?;
        Ok(Self {
            host,
            listener,
            start: began.elapsed(),
        })
    }

    /// Waits until nothing but ticks is published: those that came before counted as announcements.
    async fn only_ticks(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        loop {
            let before = self.listener.published();
            sleep(Duration::from_secs(1)).await;
            self.host.check()?;
            let in_a_second = self.listener.published() - before;
            if in_a_second <= 2 * (TICKING / SAYING) as u64 {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "{in_a_second} publishes a second after {START:?}"
            );
        }
    }

    /// Resident KiB once they no longer change: all, and without what is shared.
    async fn settled(&mut self) -> Result<(u64, u64)> {
        let mut last = (0, 0);
        for _ in 0..20 {
            sleep(Duration::from_millis(300)).await;
            self.host.check()?;
            let now = self.host.resident()?;
            if now.0.abs_diff(last.0) * 200 <= now.0 {
                return Ok(now);
            }
            last = now;
        }

        Ok(last)
    }
}

/// Memory of idle services.
///
/// # Errors
/// When a host does not start.
pub(crate) async fn memory(programs: &Programs) -> Result<Section> {
    let mut section = Section {
        title: "Idle services (guests/echo)".to_owned(),
        ..Section::default()
    };
    section.table = Table::new(&[
        "services",
        "RSS MiB",
        "KiB per further service",
        "of that, not shared",
        "start s",
    ]);
    let mut one = (0.0, 0.0);
    let mut each = f64::NAN;
    let mut own = f64::NAN;
    let mut all = f64::NAN;
    for number in NUMBERS {
        let mut many = match Many::start(programs, "echo.wasm", number, |_| String::new()).await {
            Ok(many) => many,
            Err(error) => {
                section.notes.push(format!("{error:#}"));
                break;
            }
        };

        let (resident, proportional) = many.settled().await?;
        let (resident, proportional) = (resident as f64, proportional as f64);
        if number == 1 {
            one = (resident, proportional);
        } else {
            each = (resident - one.0) / (number - 1) as f64;
            own = (proportional - one.1) / (number - 1) as f64;
        }
        all = if number == TICKING {
            resident / 1024.0
        } else {
            f64::NAN
        };
        section.table.row(vec![
            Value::Number(number as f64, 0),
            Value::Number(resident / 1024.0, 1),
            Value::Number(each, 1),
            Value::Number(own, 1),
            Value::Number(many.start.as_secs_f64(), 2),
        ]);
    }

    section.aims = vec![
        Aim::at_most("resident memory per idle Rust service", 64.0, each, "KiB"),
        Aim::at_most("10,000 idle services", 700.0, all, "MB"),
    ];
    Ok(section)
}

/// CPU of services that tick once a second.
///
/// # Errors
/// When the host does not start.
pub(crate) async fn ticking(programs: &Programs, plan: &Plan) -> Result<Section> {
    let keys = |i: usize| {
        format!(
            "    delay: {}\n    say: {}\n",
            i * 7919 % 1000,
            u8::from(i.is_multiple_of(SAYING))
        )
    };

    let mut many = Many::start(programs, "ticker.wasm", TICKING, keys).await?;
    // each announces that it is online, some time after its subscription
    many.listener
        .wait_for_publishes(TICKING as u64, &mut many.host, START)
        .await?;
    many.only_ticks().await?;
    let began = Instant::now();
    let cpu = many.host.cpu()?;
    let said = many.listener.published();
    sleep(plan.steady).await;
    let seconds = began.elapsed().as_secs_f64();
    let share = 100.0 * (many.host.cpu()? - cpu).as_secs_f64() / seconds;
    let ticks = (many.listener.published() - said) as f64 * SAYING as f64 / seconds;
    let mut table = Table::new(&["services", "ticks/s", "% of a core", "us per tick"]);
    let cells = [
        (TICKING as f64, 0),
        (ticks, 0),
        (share, 1),
        (share * 1e4 / ticks, 2),
    ];

    table.row(
        cells
            .map(|(number, decimals)| Value::Number(number, decimals))
            .into(),
    );
    let aims = vec![Aim::at_most(
        "10,000 services ticking at 1 Hz, guest calls included",
        8.0,
        share,
        "% of a core",
    )];

    let notes = vec![format!(
        "Ticks are counted at every {SAYING}th service, which publishes on each."
    )];
    Ok(Section {
        title: "Services that tick once a second (guests/ticker)".to_owned(),
        table,
        notes,
        aims,
        doubts: vec![],
    })
}

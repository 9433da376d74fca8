//! Reads figures of the machine from files of the kernel below `/proc` and `/sys`; nothing if a file is missing or has another
//! content.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub struct Files {
    proc: PathBuf,
    sys: PathBuf,
}

/// Ticks of all processors since the machine was started.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    idle: u64,
    total: u64,
}

/// Sizes in kB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub total: u64,
    available: u64,
}

impl Files {
    pub fn new(proc: &str, sys: &str) -> Self {
        Self {
            proc: proc.into(),
            sys: sys.into(),
        }
    }

    /// The folders that cannot be read, as those that were not granted, and why.
    pub fn hidden(&self) -> Vec<(String, std::io::Error)> {
        let folders = [&self.proc, &self.sys].into_iter();
        folders
            .filter_map(|folder| {
                Some((
                    folder.display().to_string(),
                    std::fs::metadata(folder).err()?,
                ))
            })
            .collect()
    }

    /// The load of the last minute.
    pub fn load(&self) -> Option<f64> {
        read(self.proc.join("loadavg"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    }

    /// The line `cpu` of `stat`: user, nice, system, idle, iowait and so on.
    pub fn processor(&self) -> Option<Processor> {
        let stat = read(self.proc.join("stat"))?;
        let ticks: Vec<u64> = stat
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .map_while(|tick| tick.parse().ok())
            .collect();

        // guest times (from the ninth on) are contained in the first two
        Some(Processor {
            idle: ticks.get(3)? + ticks.get(4).unwrap_or(&0),
            total: ticks.iter().take(8).sum(),
        })
    }

    pub fn memory(&self) -> Option<Memory> {
        let text = read(self.proc.join("meminfo"))?;
        let sizes: HashMap<&str, u64> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter_map(|(name, size)| Some((name, size.split_whitespace().next()?.parse().ok()?)))
            .collect();
        Some(Memory {
            total: *sizes.get("MemTotal")?,
            available: *sizes.get("MemAvailable")?,
        })
    }

    /// The temperature in °C of each thermal zone, by its type; a type that comes twice gets a number.
    pub fn temperatures(&self) -> Vec<(String, f64)> {
        let Ok(zones) = std::fs::read_dir(self.sys.join("class/thermal")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = zones.filter_map(|zone| Some(zone.ok()?.path())).collect();
        paths.sort();
        let mut found: Vec<(String, f64)> = Vec::new();
        for (name, degrees) in paths.iter().filter_map(|path| zone(path)) {
            let same = found
                .iter()
                .filter(|(other, _)| other.starts_with(&name))
                .count();
            found.push((
                if same == 0 {
                    name
                } else {
                    format!("{name}-{}", same + 1)
                },
                degrees,
            ));
        }

        found
    }
}

impl Processor {
    /// The share of time since `before` in which something ran, in percent; `None` when no time has passed.
    #[allow(clippy::cast_precision_loss)]
    pub fn usage_since(self, before: Self) -> Option<f64> {
        let total = self
            .total
            .checked_sub(before.total)
            .filter(|total| *total > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(total);
        Some(100.0 * (total - idle) as f64 / total as f64)
    }
}

impl Memory {
    #[allow(clippy::cast_precision_loss)]
    pub fn used_percent(self) -> f64 {
        100.0 * (self.total.saturating_sub(self.available)) as f64 / (self.total.max(1)) as f64
    }
}

fn zone(path: &Path) -> Option<(String, f64)> {
    let thousandths: f64 = read(path.join("temp"))?.trim().parse().ok()?;
    let name = read(path.join("type"))?
        .trim()
        .replace(['/', '+', '#', ' '], "-");
    Some((name, thousandths / 1_000.0))
}

fn read(path: PathBuf) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

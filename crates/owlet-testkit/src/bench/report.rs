//! What a benchmark says: measurements, ratios against yardsticks, notes; as JSON and as a page.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Result of one benchmark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Short name, the file's name.
    pub name: String,
    /// What was measured, for people.
    pub title: String,
    /// Day of the run.
    pub date: String,
    /// Machine of the run.
    pub machine: String,
    /// Numbers.
    pub measurements: Vec<Measurement>,
    /// Comparisons.
    pub ratios: Vec<Ratio>,
    /// Conditions a reader must know.
    pub notes: Vec<String>,
}

/// Rounds of one contestant on one subject.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// What was done, e.g. `query 3`.
    pub subject: String,
    /// Who did it.
    pub contestant: String,
    /// Unit of the numbers.
    pub unit: String,
    /// One number a round.
    pub rounds: Vec<f64>,
    /// Smallest.
    pub best: f64,
    /// Middle.
    pub median: f64,
}

/// A yardstick's best divided by ours (above 1: we are faster), or a number with a limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ratio {
    /// What is compared.
    pub what: String,
    /// The number.
    pub value: f64,
    /// The least that was promised, where something was.
    pub at_least: Option<f64>,
    /// The most that was promised, where something was.
    pub at_most: Option<f64>,
}

impl Measurement {
    /// Collects rounds.
    pub fn new(subject: &str, contestant: &str, unit: &str, rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let best = sorted.first().copied().unwrap_or(f64::NAN);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        Self {
            subject: subject.to_owned(),
            contestant: contestant.to_owned(),
            unit: unit.to_owned(),
            rounds,
            best,
            median,
        }
    }
}

impl Ratio {
    /// A comparison without a promise.
    pub fn new(what: impl Into<String>, value: f64) -> Self {
        Self {
            what: what.into(),
            value,
            at_least: None,
            at_most: None,
        }
    }

    /// With the least that was promised.
    pub fn at_least(mut self, limit: f64) -> Self {
        self.at_least = Some(limit);
        self
    }

    /// With the most that was promised.
    pub fn at_most(mut self, limit: f64) -> Self {
        self.at_most = Some(limit);
        self
    }

    fn verdict(&self) -> &'static str {
        let holds = self.at_least.is_none_or(|limit| self.value >= limit)
            && self.at_most.is_none_or(|limit| self.value <= limit);
        match (self.at_least.is_some() || self.at_most.is_some(), holds) {
            (false, _) => "",
            (true, true) => "met",
            (true, false) => "**missed**",
        }
    }

    fn promise(&self) -> String {
        match (self.at_least, self.at_most) {
            (Some(limit), _) => format!("at least {limit}"),
            (_, Some(limit)) => format!("at most {limit}"),
            _ => String::new(),
        }
    }
}

impl Report {
    /// An empty report of today on this machine.
    pub fn new(name: &str, title: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            title: title.into(),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            machine: machine(),
            measurements: Vec::new(),
            ratios: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Writes `<name>.json`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(std::fs::write(
            folder.join(format!("{}.json", self.name)),
            text + "\n",
        )?)
    }
}

/// Cores, processor and memory.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let field = |file: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kibibytes| {
            format!(", {:.0} GiB", kibibytes / 1_048_576.0)
        });
    format!("{cores} cores ({processor}){memory}")
}

/// The page over all results that exist.
pub fn summary(folder: &Path, names: &[&str]) -> Result<String> {
    let mut page = "# Benchmark results\n\nWritten by `cargo xtask bench`; do not edit. Contestants take turns on one machine \
                    with the server beside them; the best round counts, the median is shown too. Where a yardstick is \
                    divided by Owlet, above 1 means that Owlet is faster.\n"
        .to_owned();
    for name in names {
        let path = folder.join(format!("{name}.json"));
        if !path.is_file() {
            continue;
        }
        let report: Report = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        writeln!(
            page,
            "\n## {}\n\n{} on {}. Raw numbers: [{name}.json]({name}.json).\n",
            report.title, report.date, report.machine
        )?;
        if !report.ratios.is_empty() {
            writeln!(
                page,
                "| comparison | value | promised | |\n|---|---:|---|---|"
            )?;
            for ratio in &report.ratios {
                writeln!(
                    page,
                    "| {} | {:.2} | {} | {} |",
                    ratio.what,
                    ratio.value,
                    ratio.promise(),
                    ratio.verdict()
                )?;
            }
            writeln!(page)?;
        }
        writeln!(
            page,
            "| subject | contestant | best | median | unit |\n|---|---|---:|---:|---|"
        )?;
        for measurement in &report.measurements {
            let Measurement {
                subject,
                contestant,
                best,
                median,
                unit,
                ..
            } = measurement;
            writeln!(
                page,
                "| {subject} | {contestant} | {} | {} | {unit} |",
                number(*best),
                number(*median)
            )?;
        }
        if !report.notes.is_empty() {
            writeln!(page)?;
        }
        for note in &report.notes {
            writeln!(page, "- {note}")?;
        }
    }
    Ok(page)
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

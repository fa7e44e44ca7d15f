//! Records of measurements, and the files that they are collected in.

use super::measure::Measured;
use super::workload::Workload;
use crate::atomic_file;
use crate::cli::error::CliError;
use crate::cli::names::Named;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::Path;

/// A measurement as JSON, with the fields of the other frameworks' records and `spread`, `gflops` and `gbps` more.
pub(super) struct Record(Map<String, Value>);

/// The fields that say what was measured: records that agree in them are runs of the same.
const KEY: [&str; 4] = ["workload", "contender", "threads", "malloc"];

impl Record {
    /// What stands above the lines that records print as.
    pub const HEADLINE: &str = "workload           contender  threads   median ms      min ms  spread   first ms  peak MB    GFLOP/s     GB/s  wait  value";

    pub fn new(workload: &Workload, contender: &str, threads: usize, measured: &Measured) -> Record {
        let median = measured.median();
        let work = workload.work();
        let rate = |per_step: Option<f64>| per_step.map(|work| rounded(work / median / 1e9, 3));
        let value = json!({
            "workload": workload.name(),
            "contender": contender,
            "threads": threads,
            "malloc": "default",
            "median_ms": rounded(1e3 * median, 7),
            "min_ms": rounded(1e3 * measured.times[0], 7),
            "mean_ms": rounded(1e3 * measured.mean(), 7),
            "spread": rounded(measured.spread(), 3),
            "steps": measured.steps,
            "first_call_s": rounded(measured.first_call.as_secs_f64(), 5),
            "peak_rss_mb": rounded(measured.peak_rss_mb, 1),
            "base_rss_mb": rounded(measured.base_rss_mb, 1),
            "wait_frac": rounded(measured.wait_share, 3),
            "first_value": measured.first_value,
            "last_value": measured.last_value,
            "gflops": rate(work.flops),
            "gbps": rate(work.bytes),
            "medians_of_runs": [rounded(1e3 * median, 7)],
            "version": env!("CARGO_PKG_VERSION"),
        });
        match value {
            Value::Object(fields) => Record(fields),
            _ => unreachable!("the literal above is an object"),
        }
    }

    /// A record from its JSON; nothing when that is no record.
    pub fn from_json(value: Value) -> Option<Record> {
        match value {
            Value::Object(fields) if KEY.iter().all(|key| fields.contains_key(*key)) => Some(Record(fields)),
            _ => None,
        }
    }

    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Adds the record to a file, which is made if there is none. Of repeated runs the one with the lowest median stays.
    pub fn add_to(&self, path: &Path) -> Result<(), CliError> {
        let problem = |problem: String| CliError::File { path: path.to_path_buf(), problem };
        let old = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Array(Vec::new()),
            Err(error) => return Err(problem(error.to_string())),
        };
        let Value::Array(old) = old else { return Err(problem("it holds no list of records".to_string())) };
        let text = serde_json::to_string_pretty(&self.merged_into(old))
            .map_err(|error| problem(error.to_string()))?;
        atomic_file::write(path, text.as_bytes()).map_err(|error| problem(error.to_string()))
    }

    fn merged_into(&self, old: Vec<Value>) -> Vec<Value> {
        let is_same = |value: &Value| KEY.iter().all(|key| value.get(key) == self.0.get(*key));
        let (same, mut others): (Vec<Value>, Vec<Value>) = old.into_iter().partition(is_same);
        let median = |value: &Value| value.get("median_ms").and_then(Value::as_f64).unwrap_or(f64::INFINITY);
        let mut runs: Vec<Value> = Vec::new();
        for value in &same {
            match value.get("medians_of_runs").and_then(Value::as_array) {
                Some(medians) => runs.extend(medians.iter().cloned()),
                None => runs.extend(value.get("median_ms").cloned()),
            }
        }
        runs.extend(self.0.get("median_ms").cloned());
        let best = same.into_iter().chain([self.to_json()]).min_by(|a, b| median(a).total_cmp(&median(b)));
        let mut best = best.expect("this record is one of them");
        best["medians_of_runs"] = Value::Array(runs);
        others.push(best);
        others
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.0.get(field).and_then(Value::as_f64)
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("?")
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |field| self.number(field).unwrap_or(f64::NAN);
        let rate = |field| self.number(field).map_or("-".to_string(), |rate| format!("{rate:.1}"));
        write!(
            f,
            "{:<18} {:<10} {:>7} {:>11.5} {:>11.5} {:>6.0}% {:>10.1} {:>8.1} {:>10} {:>8} {:>5.2}  {} -> {}",
            self.text("workload"),
            self.text("contender"),
            number("threads"),
            number("median_ms"),
            number("min_ms"),
            100.0 * number("spread"),
            1e3 * number("first_call_s"),
            number("peak_rss_mb"),
            rate("gflops"),
            rate("gbps"),
            number("wait_frac"),
            number("first_value"),
            number("last_value"),
        )
    }
}

/// A number with at most so many decimals.
fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(contender: &str, median: f64) -> Record {
        let value = json!({
            "workload": "mlp", "contender": contender, "threads": 1, "malloc": "default", "median_ms": median,
        });
        Record::from_json(value).unwrap()
    }

    #[test]
    fn of_repeated_runs_the_fastest_stays_and_all_medians_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.json");
        for (contender, median) in [("kiln", 2.0), ("eager", 9.0), ("kiln", 1.0), ("kiln", 3.0)] {
            record(contender, median).add_to(&path).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let records: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(records.as_array().unwrap().len(), 2);
        let kiln = records.as_array().unwrap().iter().find(|r| r["contender"] == "kiln").unwrap();
        assert_eq!(kiln["median_ms"], 1.0);
        assert_eq!(kiln["medians_of_runs"], json!([2.0, 1.0, 3.0]));
    }

    #[test]
    fn a_file_of_something_else_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.json");
        for text in ["{}", "no JSON"] {
            std::fs::write(&path, text).unwrap();
            let error = record("kiln", 1.0).add_to(&path).unwrap_err().to_string();
            assert!(error.contains("records.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}

//! Numbers of a training in a file, a row for each step or epoch: as CSV (RFC 4180) or as lines of JSON.
//!
//! ```
//! use kiln::log::Log;
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("run.csv");
//! let mut log = Log::create(&path, &["epoch", "loss"])?;
//! for epoch in 0..2 {
//!     log.write(&[f64::from(epoch), 0.5])?;
//! }
//! // The training was stopped, and goes on with epoch 1: what the log says of it is written again.
//! let mut log = Log::resume(&path, &["epoch", "loss"], 1)?;
//! log.write(&[1.0, 0.25])?;
//! assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch,loss\n0,0.5\n1,0.25\n");
//! # Ok::<(), kiln::log::LogError>(())
//! ```

use crate::atomic_file;
use crate::checkpoint::json;
use crate::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file to which rows of numbers are added.
///
/// Each row is handed to the system at once: of a program that is killed, all rows are there. What is not a number is
/// `NaN` in CSV, an infinity `inf`; JSON has neither, so that both are `null` there.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    columns: Vec<String>,
    format: Format,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// A log could not be written or gone on with.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: LogProblem,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogProblem {
    /// The system cannot read or write it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The name does not say what it is.
    #[error("the name of a log ends in .csv, or in .jsonl for lines of JSON")]
    Format,
    /// A log without columns.
    #[error("a log needs at least one column: the number of the step or epoch")]
    NoColumns,
    /// A row is of other columns.
    #[error("a row of {found} numbers; the log has {expected} columns")]
    Row {
        /// Number of columns.
        expected: usize,
        /// Length of the row.
        found: usize,
    },
    /// The file is the log of something else.
    #[error("line {line} is not of this log, whose columns are {columns}: {text}")]
    OtherLog {
        /// The line, from 1.
        line: usize,
        /// The columns that were asked for.
        columns: String,
        /// What the line says.
        text: String,
    },
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Error {
        Error::File(Box::new(error))
    }
}

impl Log {
    /// Begins a log with these columns, of which the first numbers the rows: a file ending in `.csv` or `.jsonl`, which is
    /// replaced if it exists.
    ///
    /// Errors: the file cannot be written; its name has another ending; there is no column.
    pub fn create(path: impl AsRef<Path>, columns: &[&str]) -> Result<Log, LogError> {
        let path = path.as_ref();
        Log::begin(path, columns, |format| Ok(header(format, columns))).map_err(|problem| at(path, problem))
    }

    /// Goes on with a log: rows whose number is `first` or greater are taken out, because the training that wrote them was
    /// stopped after its last checkpoint and what follows writes them again. Without a file it begins one.
    ///
    /// Errors: as [`create`](Log::create); the file is the log of something else.
    pub fn resume(path: impl AsRef<Path>, columns: &[&str], first: u64) -> Result<Log, LogError> {
        let path = path.as_ref();
        let kept = |format| match fs::read_to_string(path) {
            Ok(text) => rows_before(&text, format, columns, first),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(header(format, columns)),
            Err(error) => Err(error.into()),
        };
        Log::begin(path, columns, kept).map_err(|problem| at(path, problem))
    }

    /// Opens a log after writing what it begins with.
    fn begin(
        path: &Path,
        columns: &[&str],
        contents: impl FnOnce(Format) -> Result<String, LogProblem>,
    ) -> Result<Log, LogProblem> {
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::JsonLines,
            Some(_) | None => return Err(LogProblem::Format),
        };
        if columns.is_empty() {
            return Err(LogProblem::NoColumns);
        }
        atomic_file::write(path, contents(format)?.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path)?;
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Log { path: path.to_path_buf(), file, columns, format })
    }

    /// Adds a row: a number for each column.
    ///
    /// Errors: the file cannot be written; the row has another length.
    pub fn write(&mut self, row: &[f64]) -> Result<(), LogError> {
        if row.len() != self.columns.len() {
            let problem = LogProblem::Row { expected: self.columns.len(), found: row.len() };
            return Err(at(&self.path, problem));
        }
        let line = match self.format {
            Format::Csv => row.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n",
            Format::JsonLines => {
                let member = |(column, number): (&String, &f64)| {
                    let number = if number.is_finite() { number.to_string() } else { "null".to_string() };
                    format!("{}:{number}", json(column))
                };
                let members: Vec<String> = self.columns.iter().zip(row).map(member).collect();
                format!("{{{}}}\n", members.join(","))
            }
        };
        self.file.write_all(line.as_bytes()).map_err(|error| at(&self.path, error.into()))
    }
}

fn at(path: &Path, problem: LogProblem) -> LogError {
    LogError { path: path.to_path_buf(), problem }
}

/// What a log without rows consists of.
fn header(format: Format, columns: &[&str]) -> String {
    match format {
        Format::Csv => columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(",") + "\n",
        Format::JsonLines => String::new(),
    }
}

/// A name as a field of CSV.
fn quoted(name: &str) -> String {
    match name.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_string(),
    }
}

/// A log without the rows from number `first` on.
fn rows_before(text: &str, format: Format, columns: &[&str], first: u64) -> Result<String, LogProblem> {
    let mut kept = header(format, columns);
    let other = |line: usize, text: &str| LogProblem::OtherLog {
        line: line + 1,
        columns: columns.join(", "),
        text: text.chars().take(60).collect(),
    };
    let Some(rows) = text.strip_prefix(&kept) else {
        // A program that is killed does not leave half a header: it is written whole.
        return if text.is_empty() { Ok(kept) } else { Err(other(0, text.lines().next().unwrap_or(""))) };
    };
    let n_before = kept.lines().count();
    for (line, row) in rows.split_inclusive('\n').enumerate() {
        // A last line without an end was being written when the program was stopped.
        if let Some(whole) = row.strip_suffix('\n') {
            let number = number(whole, format, columns).ok_or_else(|| other(n_before + line, whole))?;
            if number < first as f64 {
                kept.push_str(row);
            }
        }
    }
    Ok(kept)
}

/// The number of a row; nothing if the row has other columns.
fn number(row: &str, format: Format, columns: &[&str]) -> Option<f64> {
    match format {
        Format::Csv => {
            let fields: Vec<&str> = row.split(',').collect();
            if fields.len() == columns.len() { fields[0].parse().ok() } else { None }
        }
        Format::JsonLines => {
            let mut rest = row.strip_prefix('{')?.strip_suffix('}')?;
            let mut first = None;
            for (i, column) in columns.iter().enumerate() {
                rest = if i == 0 { rest } else { rest.strip_prefix(',')? };
                rest = rest.strip_prefix(&json(column))?.strip_prefix(':')?;
                let (number, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                first = first.or(Some(number));
                rest = after;
            }
            if rest.is_empty() { first?.parse().ok() } else { None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 3] = ["step", "loss", "a \"b\", c"];

    fn written(name: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let mut log = Log::create(&path, &COLUMNS).unwrap();
        log.write(&[0.0, 0.1, f64::NAN]).unwrap();
        log.write(&[1.0, -2.5e-9, f64::INFINITY]).unwrap();
        log.write(&[2.0, 1e21, 3.0]).unwrap();
        (directory, path)
    }

    #[test]
    fn rows_are_csv() {
        let (_directory, path) = written("log.csv");
        let expected =
            "step,loss,\"a \"\"b\"\", c\"\n0,0.1,NaN\n1,-0.0000000025,inf\n2,1000000000000000000000,3\n";
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn rows_are_lines_of_json() {
        let (_directory, path) = written("log.jsonl");
        let text = fs::read_to_string(path).unwrap();
        let rows: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows[0], serde_json::json!({"step": 0, "loss": 0.1, "a \"b\", c": null}));
        assert_eq!(rows[1], serde_json::json!({"step": 1, "loss": -2.5e-9, "a \"b\", c": null}));
        assert_eq!(rows[2]["loss"].as_f64(), Some(1e21));
    }

    #[test]
    fn a_log_goes_on_where_the_training_does() {
        for name in ["log.csv", "log.jsonl"] {
            let (_directory, path) = written(name);
            let whole = fs::read_to_string(&path).unwrap();
            // The program was killed while it wrote.
            fs::write(&path, format!("{whole}3,0.")).unwrap();
            let mut log = Log::resume(&path, &COLUMNS, 2).unwrap();
            log.write(&[2.0, 1e21, 3.0]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
            Log::resume(&path, &COLUMNS, 3).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        }
    }

    #[test]
    fn without_a_file_a_log_begins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new.csv");
        Log::resume(&path, &["step"], 7).unwrap().write(&[7.0]).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "step\n7\n");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |result: Result<Log, LogError>| {
            let text = result.unwrap_err().to_string();
            text.rsplit('/').next().unwrap().to_string()
        };
        let (directory, path) = written("log.csv");
        assert_eq!(
            error(Log::resume(&path, &["step", "accuracy"], 1)),
            "log.csv: line 1 is not of this log, whose columns are step, accuracy: step,loss,\"a \"\"b\"\", c\""
        );
        let (_other, lines) = written("log.jsonl");
        assert!(
            error(Log::resume(&lines, &["step", "loss"], 1))
                .starts_with("log.jsonl: line 1 is not of this log")
        );
        fs::write(&path, "step\n1\nx\n").unwrap();
        assert_eq!(
            error(Log::resume(&path, &["step"], 5)),
            "log.csv: line 3 is not of this log, whose columns are step: x"
        );
        let place = directory.path().join("log.txt");
        assert_eq!(
            error(Log::create(&place, &["step"])),
            "log.txt: the name of a log ends in .csv, or in .jsonl for lines of JSON"
        );
        assert!(error(Log::create(path.with_extension("csv"), &[])).contains("at least one column"));
        let mut log = Log::create(&path, &["step", "loss"]).unwrap();
        let row = log.write(&[1.0]).unwrap_err().to_string();
        assert!(row.ends_with("log.csv: a row of 1 numbers; the log has 2 columns"), "{row}");
        assert!(
            Log::create("no/such/place.csv", &["step"])
                .unwrap_err()
                .to_string()
                .starts_with("no/such/place.csv: ")
        );
    }
}

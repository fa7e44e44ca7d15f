//! The data sets of the examples, from the directory that the options name.

use super::error::CliError;
use super::files::reason;
use super::options::Options;
use crate::data::csv::Table;
use crate::data::idx::{self, IdxError, IdxProblem};
use crate::data::{Dataset, Split};
use kiln_ir::TensorData;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// MNIST: 60,000 handwritten digits to train on and 10,000 to test, inputs of this shape with pixels from 0 to 1.
///
/// Errors: a file is missing or damaged; the message says where to get it.
pub fn mnist(options: &Options, sample: &[usize]) -> Result<Split, CliError> {
    let directory = directory(options, "mnist");
    let Split { train, test } = idx::mnist(&directory).map_err(|error| match error {
        IdxError { problem: IdxProblem::Missing(_), .. } => CliError::Missing {
            problem: error.to_string(),
            what: "MNIST's four files are",
            place: "at https://ossci-datasets.s3.amazonaws.com/mnist/ (train-images-idx3-ubyte.gz and so on)",
        },
        error => CliError::Data(error),
    })?;
    Ok(Split { train: train.with_input_shape(sample)?, test: test.with_input_shape(sample)? })
}

/// Tiny Shakespeare: 1,115,394 characters of plays.
///
/// Errors: the file is missing or no text; the message says where to get it.
pub fn shakespeare(options: &Options) -> Result<String, CliError> {
    let place =
        "at https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";
    read(directory(options, "tinyshakespeare").join("input.txt"), "the text of tiny Shakespeare is", place)
}

/// The table of breast cancers: 569 samples of 30 measures of cell nuclei, and whether the tumour is benign (1) or
/// malignant (0). A fifth of each class is the test. Each measure is shifted and scaled to mean 0 and variance 1 over what
/// is trained on. Targets are `f32[n, 1]`.
///
/// Errors: the file is missing or no such table; the message says where to get it.
pub fn breast_cancer(options: &Options) -> Result<Split, CliError> {
    let path = directory(options, "tabular").join("breast_cancer.csv");
    let name = path.display().to_string();
    let place = "in scikit-learn (`load_breast_cancer(as_frame=True).frame.to_csv(.., index=False)`), \
                 originally at https://doi.org/10.24432/C5DW2B";
    let text = read(path.clone(), "the table is", place)?;
    let table = Table::parse(&name, &text).map_err(|error| CliError::Arguments(error.to_string()))?;
    let n_inputs = table.columns().len() - 1;
    if n_inputs == 0 || table.n_rows() < 10 {
        return Err(CliError::file(&path, "a table of at least ten samples is needed, the class last"));
    }
    let x = table.rows().flat_map(|row| row[..n_inputs].iter().map(|value| *value as f32)).collect();
    let y = table.rows().map(|row| row[n_inputs] as i64).collect();
    let data =
        Dataset::new(TensorData::new([table.n_rows(), n_inputs], x), TensorData::new([table.n_rows()], y));
    let Split { train, test } = data?.split_by_class(0.2, 0);
    let scales = scales(train.x());
    Ok(Split { train: standardized(&train, &scales)?, test: standardized(&test, &scales)? })
}

/// Mean and standard deviation of each column.
fn scales(x: &TensorData) -> Vec<(f64, f64)> {
    let (n, columns) = (x.shape()[0], x.shape()[1]);
    let of_column = |column: usize| {
        let values = || (0..n).map(move |row| x.get(row * columns + column).as_f64());
        let mean = values().sum::<f64>() / n as f64;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
        // A column of equal values stays one: of zeros.
        (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
    };
    (0..columns).map(of_column).collect()
}

/// Shifted and scaled inputs, and targets as one number each.
fn standardized(data: &Dataset, scales: &[(f64, f64)]) -> Result<Dataset, CliError> {
    let scaled = |i: usize| {
        let (mean, deviation) = scales[i % scales.len()];
        ((data.x().get(i).as_f64() - mean) / deviation) as f32
    };
    let x = (0..data.x().n_elements()).map(scaled).collect();
    let y = (0..data.n_samples()).map(|i| data.y().get(i).as_f64() as f32).collect();
    let n = data.n_samples();
    Ok(Dataset::new(TensorData::new([n, scales.len()], x), TensorData::new([n, 1], y))?)
}

/// The directory of a data set.
fn directory(options: &Options, name: &str) -> PathBuf {
    let own = options.data.join(name);
    if own.is_dir() { own } else { options.data.clone() }
}

fn read(path: PathBuf, what: &'static str, place: &'static str) -> Result<String, CliError> {
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            CliError::Missing { problem: format!("{}: no such file", path.display()), what, place }
        }
        _ => CliError::file(&path, reason(&error)),
    })
}

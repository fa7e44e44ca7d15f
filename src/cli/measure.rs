//! How good a model is on a whole data set.

use super::error::CliError;
use super::options::Options;
use crate::data::{Dataset, Loader};
use crate::metrics;
use crate::nn::Init;
use crate::trainer::Trainer;
use kiln_ir::{DType, Shape, TensorData, TensorType};

/// The samples that the user wants to train on.
pub fn first_samples(data: &Dataset, options: &Options) -> Dataset {
    match options.samples.map(|n| n as usize) {
        Some(n) if n < data.n_samples() => {
            let (x, y) = data.gather(&(0..n).collect::<Vec<_>>());
            Dataset::new(x, y).expect("as many inputs as targets")
        }
        Some(_) | None => data.clone(),
    }
}

/// Loss and share of right predictions. The last batch is as small as it comes.
pub fn evaluate(trainer: &mut Trainer<'_>, data: &Dataset, batch: usize) -> Result<(f64, f64), CliError> {
    let (mut loss_sum, mut n_right) = (0.0, 0.0);
    for (x, y) in Loader::new(data, batch).epoch(0) {
        let n = x.shape()[0] as f64;
        let (loss, prediction) = trainer.evaluate(&x, &y)?;
        loss_sum += f64::from(loss) * n;
        n_right += accuracy(&prediction, &y) * n;
    }
    let n = data.n_samples() as f64;
    Ok((loss_sum / n, n_right / n))
}

/// How many predictions are right: the greatest score is that of the class, or the value is nearer to the target than to
/// the other of 0 and 1.
fn accuracy(prediction: &TensorData, target: &TensorData) -> f64 {
    if !target.dtype().is_float() {
        return metrics::accuracy(prediction, target);
    }
    let n = target.n_elements();
    let is_right = |i: &usize| (prediction.get(*i).as_f64() - target.get(*i).as_f64()).abs() < 0.5;
    (0..n).filter(is_right).count() as f64 / n as f64
}

/// The mean loss of the samples of a data set.
pub fn mean_loss(trainer: &mut Trainer<'_>, data: &Dataset, batch: usize) -> Result<f64, CliError> {
    let mut sum = 0.0;
    for (x, y) in Loader::new(data, batch).epoch(0) {
        let n = x.shape()[0] as f64;
        sum += f64::from(trainer.evaluate(&x, &y)?.0) * n;
    }
    Ok(sum / data.n_samples() as f64)
}

/// Normal random numbers with mean 0 and variance 1, the same for the same seed.
pub fn noise(shape: impl Into<Shape>, seed: u64) -> TensorData {
    Init::Normal { mean: 0.0, std: 1.0 }.sample(&TensorType::new(DType::F32, shape), seed, 0)
}

/// Random numbers between 0 and 1, the same for the same seed.
pub fn uniform(n: usize, seed: u64) -> Vec<f64> {
    Init::Uniform { low: 0.0, high: 1.0 }.sample(&TensorType::new(DType::F64, [n]), seed, 0).to_f64_vec()
}

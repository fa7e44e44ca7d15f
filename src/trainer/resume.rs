//! What can be [saved beside a trainer](Trainer::save_training): numbers, and what observes a training.

use super::{EarlyStopping, Resume};
use crate::data::Position;
use crate::metrics::Mean;
use kiln_ir::{Element, TensorData};
use std::collections::BTreeMap;

#[cfg(doc)]
use super::Trainer;

/// A value of this name and type.
pub(crate) fn recalled<T: Element>(
    values: &BTreeMap<String, TensorData>,
    name: &str,
) -> Result<Vec<T>, String> {
    let value = values.get(name).ok_or_else(|| format!("there is no `{name}`"))?;
    let elements = value.as_slice().ok_or_else(|| format!("`{name}` is of type {}", value.ty()))?;
    Ok(elements.to_vec())
}

/// A single number of this name and type.
pub(crate) fn recalled_number<T: Element>(
    values: &BTreeMap<String, TensorData>,
    name: &str,
) -> Result<T, String> {
    match recalled(values, name)?[..] {
        [number] => Ok(number),
        ref several => Err(format!("`{name}` is {} numbers, not one", several.len())),
    }
}

/// A count. Files have no unsigned numbers of 64 bits: the bits are kept.
pub(crate) fn count(name: &str, value: u64) -> (String, TensorData) {
    (name.to_string(), TensorData::scalar(value as i64))
}

/// A count that [`count`] remembered.
pub(crate) fn recalled_count(values: &BTreeMap<String, TensorData>, name: &str) -> Result<u64, String> {
    recalled_number::<i64>(values, name).map(|value| value as u64)
}

/// A number with all its bits.
pub(crate) fn number(name: &str, value: f64) -> (String, TensorData) {
    (name.to_string(), TensorData::scalar(value))
}

impl Resume for u64 {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        vec![count("count", *self)]
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        *self = recalled_count(values, "count")?;
        Ok(())
    }
}

impl Resume for f64 {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        vec![number("number", *self)]
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        *self = recalled_number(values, "number")?;
        Ok(())
    }
}

impl Resume for Vec<f64> {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        vec![("numbers".to_string(), TensorData::new([self.len()], self.clone()))]
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        *self = recalled(values, "numbers")?;
        Ok(())
    }
}

impl Resume for Position {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        let mut values = vec![
            count("epoch", self.epoch),
            count("batch", self.batch),
            count("batch_size", self.batch_size),
            count("n_samples", self.n_samples),
        ];
        values.extend(self.seed.map(|seed| count("seed", seed)));
        values
    }

    /// Errors as well when the file is of a loader with another number of samples, batch size or seed: the samples come in
    /// another order there.
    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        let (epoch, batch) = (recalled_count(values, "epoch")?, recalled_count(values, "batch")?);
        let n_samples = recalled_count(values, "n_samples")?;
        if n_samples != self.n_samples {
            return Err(format!(
                "it has seen data of {n_samples} samples, here there are {}",
                self.n_samples
            ));
        }
        let batch_size = recalled_count(values, "batch_size")?;
        if batch_size != self.batch_size {
            return Err(format!("its batches have {batch_size} samples, here they have {}", self.batch_size));
        }
        let seed = values.contains_key("seed").then(|| recalled_count(values, "seed")).transpose()?;
        if seed != self.seed {
            let order = |seed: Option<u64>| {
                seed.map_or("as it is in the data".to_string(), |seed| format!("drawn from seed {seed}"))
            };
            return Err(format!(
                "its order of the samples is {}, here it is {}",
                order(seed),
                order(self.seed)
            ));
        }
        *self = Position { epoch, batch, ..*self };
        Ok(())
    }
}

impl Resume for Mean {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        let (sum, n) = self.parts();
        vec![number("sum", sum), count("n", n)]
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        *self = Mean::of_parts(recalled_number(values, "sum")?, recalled_count(values, "n")?);
        Ok(())
    }
}

/// What stands before the name of a parameter of the best observation.
const BEST: &str = "best.";

impl Resume for EarlyStopping {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        let mut values = vec![count("n_worse", self.n_worse as u64)];
        if let Some((measure, parameters)) = &self.best {
            values.push(number("measure", *measure));
            values.extend(parameters.iter().map(|(name, value)| (format!("{BEST}{name}"), value.clone())));
        }
        values
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        let n_worse = recalled_count(values, "n_worse")? as usize;
        let best = match values.contains_key("measure") {
            true => Some((recalled_number(values, "measure")?, best_parameters(values))),
            false => None,
        };
        (self.n_worse, self.best) = (n_worse, best);
        Ok(())
    }
}

fn best_parameters(values: &BTreeMap<String, TensorData>) -> BTreeMap<String, TensorData> {
    let of_best = |(name, value): (&String, &TensorData)| {
        name.strip_prefix(BEST).map(|name| (name.to_string(), value.clone()))
    };
    values.iter().filter_map(of_best).collect()
}

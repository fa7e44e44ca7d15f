//! What a trainer holds between steps: reading it, replacing it, files.

use super::Trainer;
use super::plan::{Parameter, StateValue};
use crate::checkpoint;
use crate::error::Error;
use kiln_ir::TensorData;
use std::collections::BTreeMap;
use std::panic::Location;
use std::path::Path;

impl Trainer<'_> {
    /// The parameters by name, in the order of the model.
    pub fn parameters(&self) -> Vec<(String, TensorData)> {
        let value = |(i, p): (usize, &Parameter)| (p.name.clone(), self.backend.state(i));
        self.plan.parameters.iter().enumerate().map(value).collect()
    }

    /// One parameter.
    ///
    /// Errors: the model has none of this name.
    #[track_caller]
    pub fn parameter(&self, name: &str) -> Result<TensorData, Error> {
        self.index_of(name, Location::caller()).map(|index| self.backend.state(index))
    }

    /// Replaces the value of one parameter.
    ///
    /// Errors: the model has none of this name; the value has another type.
    #[track_caller]
    pub fn set_parameter(&mut self, name: &str, value: TensorData) -> Result<(), Error> {
        let location = Location::caller();
        let index = self.index_of(name, location)?;
        self.check_parameter(index, &value, location)?;
        self.backend.set_state(index, value);
        Ok(())
    }

    /// Replaces the values of all parameters; names that the model does not have are ignored.
    ///
    /// Errors: a parameter has no value, or one of another type; then none is replaced.
    #[track_caller]
    pub fn set_parameters(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), Error> {
        self.set_first(self.plan.parameters.len(), values, Location::caller())
    }

    /// Replaces the first `n` pieces of the state, or none.
    fn set_first(
        &mut self,
        n: usize,
        values: &BTreeMap<String, TensorData>,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        for (index, StateValue { name, ty, .. }) in self.plan.state[..n].iter().enumerate() {
            match values.get(name) {
                Some(value) => self.check_parameter(index, value, location)?,
                None => {
                    return Err(Error::MissingParameter { name: name.clone(), ty: ty.clone(), location });
                }
            }
        }
        for (index, StateValue { name, .. }) in self.plan.state[..n].iter().enumerate() {
            self.backend.set_state(index, values[name].clone());
        }
        Ok(())
    }

    fn index_of(&self, name: &str, location: &'static Location<'static>) -> Result<usize, Error> {
        self.plan.parameters.iter().position(|p| p.name == name).ok_or_else(|| Error::UnknownParameter {
            name: name.to_string(),
            known: self.plan.parameters.iter().map(|p| p.name.clone()).collect(),
            location,
        })
    }

    fn check_parameter(
        &self,
        index: usize,
        value: &TensorData,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        let (name, expected, found) = (&self.plan.state[index].name, &self.plan.state[index].ty, value.ty());
        if *expected == found {
            return Ok(());
        }
        Err(Error::ParameterType { name: name.clone(), expected: expected.clone(), found, location })
    }

    /// Writes the parameters to a file in the safetensors format, under the names of PyTorch's `state_dict`.
    ///
    /// The file is replaced at once, or not at all. Errors: it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_first(self.plan.parameters.len(), path.as_ref())
    }

    /// Reads the parameters from a file in the safetensors format, one of PyTorch's as well.
    ///
    /// Errors: it cannot be read; a parameter is missing or has another type. Then none is replaced.
    #[track_caller]
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_first(self.plan.parameters.len(), path.as_ref(), Location::caller())
    }

    /// Writes the whole state of the training: parameters, what the optimizer keeps, learning rate, number of steps,
    /// random state. A trainer that reads it goes on as if it had never stopped.
    ///
    /// Errors: as [`save`](Trainer::save).
    pub fn save_state(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_first(self.plan.state.len(), path.as_ref())
    }

    /// Reads the whole state of a training. Errors: as [`load`](Trainer::load).
    #[track_caller]
    pub fn load_state(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_first(self.plan.state.len(), path.as_ref(), Location::caller())
    }

    /// Writes the first `n` pieces of the state.
    fn save_first(&self, n: usize, path: &Path) -> Result<(), Error> {
        let values: Vec<TensorData> = (0..n).map(|index| self.backend.state(index)).collect();
        let named = self.plan.state.iter().zip(&values).map(|(of, value)| (of.name.as_str(), value));
        checkpoint::save(path, named, &BTreeMap::new()).map_err(|error| Error::File(Box::new(error)))
    }

    /// Reads the first `n` pieces of the state.
    fn load_first(
        &mut self,
        n: usize,
        path: &Path,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        let file = checkpoint::load(path).map_err(|error| Error::File(Box::new(error)))?;
        self.set_first(n, &file.tensors, location)
    }

    /// The learning rate; where there are several groups, that of the first.
    pub fn learning_rate(&self) -> f64 {
        if self.plan.groups.is_empty() { 0.0 } else { self.scalar(self.plan.learning_rate(0)) }
    }

    /// Changes the learning rate of all groups: scalars of the state, so nothing is compiled. A
    /// [schedule](super::TrainerBuilder::schedule) sets it again at the next step.
    pub fn set_learning_rate(&mut self, rate: f64) {
        (0..self.plan.groups.len()).for_each(|group| self.set_rate(group, rate));
    }

    /// Multiplies the learning rates of all groups, as [`Plateau`](crate::optim::Plateau) asks for.
    pub fn scale_learning_rate(&mut self, factor: f64) {
        for group in 0..self.plan.groups.len() {
            self.set_rate(group, self.scalar(self.plan.learning_rate(group)) * factor);
        }
    }

    /// The learning rate of the group of this name, if there is one.
    pub fn learning_rate_of(&self, group: &str) -> Option<f64> {
        let group = self.plan.groups.iter().position(|of| of.name == group)?;
        Some(self.scalar(self.plan.learning_rate(group)))
    }

    fn set_rate(&mut self, group: usize, rate: f64) {
        self.backend.set_scalar(self.plan.learning_rate(group), rate);
    }

    /// Sets the learning rates for the next step.
    pub(super) fn follow_schedule(&mut self) {
        let Some(schedule) = &self.schedule else { return };
        for (i, group) in self.plan.groups.iter().enumerate() {
            let n_steps = self.backend.scalar(self.plan.step(i)) as u64;
            let rate = group.optimizer.learning_rate() * schedule.factor(n_steps);
            self.backend.set_scalar(self.plan.learning_rate(i), rate);
        }
    }

    /// How many steps were taken.
    pub fn n_steps(&self) -> u64 {
        let steps = (0..self.plan.groups.len()).map(|group| self.scalar(self.plan.step(group)) as u64);
        steps.max().unwrap_or(0)
    }

    fn scalar(&self, index: usize) -> f64 {
        self.backend.scalar(index)
    }

    /// Exchanges each trained parameter with its [moving average](super::TrainerBuilder::average): evaluate between two
    /// calls to see what the averages are worth. Without averages, nothing happens.
    pub fn swap_averages(&mut self) {
        for (index, parameter) in self.plan.parameters.iter().enumerate() {
            if let Some(average) = parameter.trained.as_ref().and_then(|trained| trained.average) {
                let (value, averaged) = (self.backend.state(index), self.backend.state(average));
                self.backend.set_state(index, averaged);
                self.backend.set_state(average, value);
            }
        }
    }
}

//! What a trainer holds between steps: reading and replacing it.

use super::Trainer;
use super::plan::{Parameter, StateValue};
use crate::error::Error;
use kiln_ir::TensorData;
use std::collections::BTreeMap;
use std::panic::Location;

impl Trainer<'_> {
    /// The parameters by name, in the order of the model.
    pub fn parameters(&self) -> Vec<(String, TensorData)> {
        let value = |(i, p): (usize, &Parameter)| (p.name.clone(), self.backend.state(i));
        self.plan.parameters.iter().enumerate().map(value).collect()
    }

    /// How many numbers the parameters are; statistics and other buffers are not counted.
    pub fn n_parameters(&self) -> usize {
        let parameters = self.plan.parameters.iter().zip(&self.plan.state).filter(|(of, _)| !of.is_buffer);
        parameters.map(|(_, value)| value.ty.n_elements()).sum()
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
        let location = Location::caller();
        let n = self.plan.parameters.len();
        for (index, StateValue { name, ty, .. }) in self.plan.state[..n].iter().enumerate() {
            match values.get(name) {
                Some(value) => self.check_parameter(index, value, location)?,
                None => {
                    return Err(Error::MissingParameter { name: name.clone(), ty: ty.clone(), location });
                }
            }
        }
        self.replace_first(n, values);
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

    /// Replaces the first `n` pieces of the state by values that were checked.
    pub(super) fn replace_first(&mut self, n: usize, values: &BTreeMap<String, TensorData>) {
        for (index, StateValue { name, .. }) in self.plan.state[..n].iter().enumerate() {
            self.backend.set_state(index, values[name].clone());
        }
    }

    /// The learning rate; where there are several groups, that of the main one, or of the first when there is no main one.
    pub fn learning_rate(&self) -> f64 {
        if self.plan.groups.is_empty() { 0.0 } else { self.scalar(self.plan.learning_rate(0)) }
    }

    /// Changes the learning rate: a scalar of the state, so nothing is compiled. The rates of other groups change in
    /// proportion to those that they began with, as PyTorch's schedules change them; where the main group began with 0,
    /// they stay. A [schedule](super::TrainerBuilder::schedule) sets all rates again at the next step.
    pub fn set_learning_rate(&mut self, rate: f64) {
        let Some(main) = self.plan.groups.first().map(|group| group.optimizer.learning_rate()) else {
            return;
        };
        self.set_rate(0, rate);
        for group in 1..self.plan.groups.len() {
            if main != 0.0 {
                self.set_rate(group, self.plan.groups[group].optimizer.learning_rate() * (rate / main));
            }
        }
    }

    /// Multiplies the learning rates of all groups, as [`Plateau`](crate::optim::Plateau) asks for.
    pub fn scale_learning_rate(&mut self, factor: f64) {
        for group in 0..self.plan.groups.len() {
            self.set_rate(group, self.scalar(self.plan.learning_rate(group)) * factor);
        }
    }

    /// The learning rate of the group of this name, if there is one; the main group is called `others`.
    pub fn learning_rate_of(&self, group: &str) -> Option<f64> {
        self.group(group).map(|group| self.scalar(self.plan.learning_rate(group)))
    }

    /// Changes the learning rate of one group: whether there is one of this name.
    pub fn set_learning_rate_of(&mut self, group: &str, rate: f64) -> bool {
        let group = self.group(group);
        if let Some(group) = group {
            self.set_rate(group, rate);
        }
        group.is_some()
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.plan.groups.iter().position(|group| group.name == name)
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

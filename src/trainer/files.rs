//! Trainings in files: parameters alone, or all that a training needs to go on as if it had never stopped.

use super::Trainer;
use super::plan::StateValue;
use crate::checkpoint;
use crate::error::Error;
use kiln_ir::{TensorData, TensorType};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Something beside the trainer that a training needs to go on: what a schedule has observed, where the data stand.
///
/// Numbers and lists of numbers are, too. See [`Trainer::save_training`].
pub trait Resume {
    /// What is to be remembered, by names of its own; at least one value.
    fn remembered(&self) -> Vec<(String, TensorData)>;

    /// Goes on from what was remembered.
    ///
    /// Errors: what is missing or of another type, in words. Then it is as it was.
    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String>;
}

/// Why a training cannot go on from a file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}\n  --> {location}{}", path.display(), problem.lines())]
pub struct ResumeError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: ResumeProblem,
    /// The user's call.
    pub location: &'static Location<'static>,
}

/// What is wrong with a file, for a training that shall go on from it.
#[derive(Debug, thiserror::Error)]
pub enum ResumeProblem {
    /// The file holds parameters and nothing of a training.
    #[error("holds parameters only, and no training: `load` reads those")]
    ParametersOnly,
    /// Parameters are missing, of other types, or not here.
    #[error("is of another model")]
    OtherModel(Vec<Difference>),
    /// What is kept for the same parameters is other.
    #[error("is of this model, but trained with another optimizer or other settings")]
    OtherTraining(Vec<Difference>),
    /// Something beside the trainer was not saved.
    #[error("holds no `{name}`; beside the trainer there {}", listed(.known))]
    Missing {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Something beside the trainer cannot go on from what was saved.
    #[error("`{name}`: {problem}")]
    Beside {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl ResumeProblem {
    /// The lines after the user's.
    pub(crate) fn lines(&self) -> String {
        match self {
            ResumeProblem::OtherModel(differences) | ResumeProblem::OtherTraining(differences) => {
                lines(differences)
            }
            ResumeProblem::ParametersOnly | ResumeProblem::Missing { .. } | ResumeProblem::Beside { .. } => {
                String::new()
            }
        }
    }
}

/// A value that a file and a trainer do not share.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The name of the parameter, or of what is kept for it.
    pub name: String,
    /// Its type in the file, if it is there.
    pub in_file: Option<TensorType>,
    /// Its type here, if it is there.
    pub here: Option<TensorType>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.in_file, &self.here) {
            (Some(file), Some(here)) => write!(f, "{}: {file} in the file, {here} here", self.name),
            (Some(file), None) => write!(f, "{}: {file} in the file, not here", self.name),
            (None, Some(here)) => write!(f, "{}: {here} here, not in the file", self.name),
            (None, None) => write!(f, "{}: nowhere", self.name),
        }
    }
}

/// How many differences are shown.
const N_SHOWN: usize = 10;

fn lines(differences: &[Difference]) -> String {
    let mut text: String =
        differences.iter().take(N_SHOWN).map(|difference| format!("\n   | {difference}")).collect();
    if differences.len() > N_SHOWN {
        text += &format!("\n   = and {} more", differences.len() - N_SHOWN);
    }
    text
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "is nothing".to_string() } else { format!("are {}", names.join(", ")) }
}

/// Stands between the name of what is beside the trainer and the name of one of its values.
const SEPARATOR: char = '/';

impl Trainer<'_> {
    /// Writes the parameters to a file in the safetensors format, under the names of PyTorch's `state_dict`.
    ///
    /// The file is replaced at once, or not at all. Errors: it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref(), self.plan.parameters.len(), Vec::new())
    }

    /// Reads the parameters from a file in the safetensors format, one of PyTorch's as well; names that the model does not
    /// have are ignored.
    ///
    /// Errors: it cannot be read; a parameter is missing or has another type. Then none is replaced.
    #[track_caller]
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let location = Location::caller();
        let (path, n) = (path.as_ref(), self.plan.parameters.len());
        let values = read(path)?;
        let mut differences = self.differences(n, &values);
        differences.retain(|difference| difference.here.is_some());
        if !differences.is_empty() {
            return Err(failed(path, ResumeProblem::OtherModel(differences), location));
        }
        self.replace_first(n, &values);
        Ok(())
    }

    /// Writes the whole state of the training: parameters, what the optimizers keep, learning rates, numbers of steps,
    /// gradients that wait for a step, random state. A trainer that reads it goes on as if it had never stopped.
    ///
    /// Errors: as [`save`](Trainer::save).
    pub fn save_state(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_training(path, &[])
    }

    /// Reads the whole state of a training. Errors: as [`load_training`](Trainer::load_training).
    #[track_caller]
    pub fn load_state(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_training(path, &mut [])
    }

    /// Writes the [state](Trainer::save_state) of a training and what stands beside the trainer, by names: all that is
    /// needed to go on, bit by bit, as if it had never stopped.
    ///
    /// ```
    /// use kiln::data::{Loader, digits};
    /// use kiln::optim::Plateau;
    /// use kiln::prelude::*;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("training.safetensors");
    /// let data = digits().train;
    /// let loader = Loader::new(&data, 256).shuffled(0);
    /// let model = Linear::new(64, 10);
    /// let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(1e-3));
    /// let mut trainer = trainer.compile(f32(&[256, 64]), i64(&[256]))?;
    /// let (mut position, mut plateau) = (loader.start(), Plateau::new());
    /// if path.exists() {
    ///     trainer.load_training(&path, &mut [("position", &mut position), ("plateau", &mut plateau)])?;
    /// }
    /// while position.epoch < 2 {
    ///     let mut last = 0.0;
    ///     for (x, y) in loader.rest(position) {
    ///         last = trainer.step(&x, &y)?;
    ///         position.batch += 1;
    ///     }
    ///     trainer.scale_learning_rate(plateau.observe(f64::from(last)));
    ///     position = position.next_epoch();
    ///     trainer.save_training(&path, &[("position", &position), ("plateau", &plateau)])?;
    /// }
    /// # Ok::<(), kiln::Error>(())
    /// ```
    ///
    /// The file is replaced at once, or not at all. Errors: it cannot be written; two names are the same.
    pub fn save_training(&self, path: impl AsRef<Path>, beside: &[(&str, &dyn Resume)]) -> Result<(), Error> {
        let named = |(of, what): &(&str, &dyn Resume)| -> Vec<(String, TensorData)> {
            let values = what.remembered().into_iter();
            values.map(|(name, value)| (format!("{of}{SEPARATOR}{name}"), value)).collect()
        };
        self.write(path.as_ref(), self.plan.state.len(), beside.iter().flat_map(named).collect())
    }

    /// Reads the state of a training, and what was saved beside it under these names; other names are ignored.
    ///
    /// Errors: the file cannot be read; it is of another model or another way to train; something beside the trainer is not
    /// in it, or does not fit. Then the trainer is as it was.
    #[track_caller]
    pub fn load_training(
        &mut self,
        path: impl AsRef<Path>,
        beside: &mut [(&str, &mut dyn Resume)],
    ) -> Result<(), Error> {
        let location = Location::caller();
        let (path, n) = (path.as_ref(), self.plan.state.len());
        let (values, others) = self.split(read(path)?);
        let failed = |problem| failed(path, problem, location);
        self.check_training(&values).map_err(failed)?;
        for (name, what) in beside {
            let Some(own) = others.get(*name) else {
                let known = others.keys().cloned().collect();
                return Err(failed(ResumeProblem::Missing { name: name.to_string(), known }));
            };
            let not_fitting = |problem| ResumeProblem::Beside { name: name.to_string(), problem };
            what.recall(own).map_err(|problem| failed(not_fitting(problem)))?;
        }
        self.replace_first(n, &values);
        Ok(())
    }

    /// Writes the first `n` pieces of the state, and others.
    fn write(&self, path: &Path, n: usize, others: Vec<(String, TensorData)>) -> Result<(), Error> {
        let own = (0..n).map(|index| (self.plan.state[index].name.clone(), self.backend.state(index)));
        let values: Vec<(String, TensorData)> = own.chain(others).collect();
        let named = values.iter().map(|(name, value)| (name.as_str(), value));
        checkpoint::save(path, named, &BTreeMap::new()).map_err(|error| Error::File(Box::new(error)))
    }

    /// What is the trainer's in a file, and what is beside it, by name.
    fn split(&self, values: BTreeMap<String, TensorData>) -> (Values, BTreeMap<String, Values>) {
        let (mut own, mut others) = (Values::new(), BTreeMap::<String, Values>::new());
        for (name, value) in values {
            let is_known = self.plan.state.iter().any(|of| of.name == name);
            match name.split_once(SEPARATOR) {
                Some((of, rest)) if !is_known => {
                    others.entry(of.to_string()).or_default().insert(rest.to_string(), value);
                }
                Some(_) | None => drop(own.insert(name, value)),
            }
        }
        (own, others)
    }

    fn check_training(&self, values: &Values) -> Result<(), ResumeProblem> {
        let differences = self.differences(self.plan.state.len(), values);
        if differences.is_empty() {
            return Ok(());
        }
        let is_of_model = |name: &str| self.plan.parameters.iter().any(|parameter| parameter.name == name);
        // Every training has a random state.
        if !values.contains_key(&self.plan.state[self.plan.random()].name) {
            return Err(ResumeProblem::ParametersOnly);
        }
        Err(match differences.iter().any(|difference| is_of_model(&difference.name)) {
            true => ResumeProblem::OtherModel(differences),
            false => ResumeProblem::OtherTraining(differences),
        })
    }

    /// What differs between the first `n` pieces of the state and a file, in their order; then what only the file has.
    fn differences(&self, n: usize, values: &Values) -> Vec<Difference> {
        let state = &self.plan.state[..n];
        let missing_or_other = state.iter().filter_map(|StateValue { name, ty, .. }| {
            let in_file = values.get(name).map(TensorData::ty);
            let is_same = in_file.as_ref() == Some(ty);
            (!is_same).then(|| Difference { name: name.clone(), in_file, here: Some(ty.clone()) })
        });
        let only_there = values.iter().filter(|(name, _)| !state.iter().any(|of| of.name == **name));
        let only_there = only_there.map(|(name, value)| Difference {
            name: name.clone(),
            in_file: Some(value.ty()),
            here: None,
        });
        missing_or_other.chain(only_there).collect()
    }
}

/// Values of a file by name.
type Values = BTreeMap<String, TensorData>;

fn read(path: &Path) -> Result<Values, Error> {
    let file = checkpoint::load(path).map_err(|error| Error::File(Box::new(error)))?;
    Ok(file.tensors)
}

fn failed(path: &Path, problem: ResumeProblem, location: &'static Location<'static>) -> Error {
    Error::File(Box::new(ResumeError { path: path.to_path_buf(), problem, location }))
}

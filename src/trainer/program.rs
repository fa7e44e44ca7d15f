//! Programs over the state of a trainer: what a step of training consists of, and the user's own.
//!
//! A [`Step`] is the state during the trace of one program. The ordinary step of training is one call of it; programs of
//! the user's call it as they like, so that a step can train several parts of a model one after the other.

use super::measure::{self, Forward, Measured};
use super::plan::{Group, Parameter, Plan, StateValue, Trained};
use crate::error::{Error, Problem, Unreached};
use crate::tensor::Tensor;
use crate::trace::Tracer;
use kiln_ir::DType;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Traces a program from the tensors of its batch.
pub(crate) type Body<'m> = Box<dyn Fn(&Step<'_>, &[Tensor]) -> Vec<Tensor> + 'm>;

/// A program of the user's.
pub(crate) struct NamedProgram<'m> {
    pub name: String,
    /// Whether layers behave as in training, and the state changes.
    pub is_training: bool,
    pub body: Body<'m>,
}

/// The state of a trainer during one program; see [`TrainerBuilder::training_program`](super::TrainerBuilder::training_program).
pub struct Step<'a> {
    plan: &'a Plan<'a>,
    tracer: &'a Tracer,
    /// The state as the program found it.
    before: Vec<Tensor>,
    /// What was changed so far.
    changed: RefCell<BTreeMap<usize, Tensor>>,
    problem: RefCell<Option<Error>>,
    /// What is measured of each loss, if that is asked for.
    health: Option<RefCell<Norms>>,
}

/// The norms that a program computes beside its results.
#[derive(Default)]
struct Norms {
    norms: Vec<Tensor>,
    /// What they are of, for each loss.
    measured: Vec<Measured>,
    /// Indices of the nodes that are gradients and updates.
    skipped: Vec<Range<usize>>,
}

/// The gradients of a loss with respect to the parameters of a group, or of all.
pub struct Gradients<'a> {
    plan: &'a Plan<'a>,
    /// By the place of the parameter.
    gradients: Vec<(usize, Tensor)>,
}

impl Gradients<'_> {
    /// The names of the parameters and their gradients, in the order of the model.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.gradients.iter().map(|(index, gradient)| (&*self.plan.parameters[*index].name, gradient))
    }

    pub(crate) fn into_tensors(self) -> impl Iterator<Item = Tensor> {
        self.gradients.into_iter().map(|(_, gradient)| gradient)
    }
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        plan: &'a Plan<'a>,
        tracer: &'a Tracer,
        state: Vec<Tensor>,
        is_measured: bool,
    ) -> Step<'a> {
        let (changed, problem) = (RefCell::new(BTreeMap::new()), RefCell::new(None));
        Step { plan, tracer, before: state, changed, problem, health: is_measured.then(RefCell::default) }
    }

    /// The norms, and what they are of for each loss.
    pub(crate) fn take_health(&self) -> (Vec<Tensor>, Vec<Measured>) {
        let Norms { norms, measured, .. } = self.health.as_ref().map_or_else(Norms::default, RefCell::take);
        (norms, measured)
    }

    /// Moves the parameters of a group along the gradient of a loss: [`gradients`](Step::gradients) and
    /// [`apply`](Step::apply). What follows in the program sees the new parameters.
    #[track_caller]
    pub fn minimize(&self, group: &str, loss: &Tensor) {
        self.apply(self.gradients(group, loss));
    }

    /// The gradients of a loss with respect to the parameters of a group, as they are before anything is applied.
    ///
    /// Penalties on activations since the last gradients, and on the parameters of the group, are part of the loss. Errors: no group has this name; the loss
    /// is not one number; no gradient reaches a parameter.
    #[track_caller]
    pub fn gradients(&self, group: &str, loss: &Tensor) -> Gradients<'a> {
        let Some(group) = self.plan.groups.iter().position(|of| of.name == group) else {
            let names: Vec<&str> = self.plan.groups.iter().map(|group| &*group.name).collect();
            loss.refuse("gradients", format!("there is no group `{group}`, only {}", names.join(", ")));
            return Gradients { plan: self.plan, gradients: Vec::new() };
        };
        let bound = self.tracer.id_bound();
        let whole = self.tracer.with_penalties(loss.clone());
        let whole = self.penalized(whole, |trained| trained.group == group);
        let gradients = self.derive(&whole, |trained| trained.group == group);
        if let Some(health) = &self.health {
            let Norms { norms, measured, skipped } = &mut *health.borrow_mut();
            let forward = Forward { prediction: loss, bound, skipped };
            let measure = || measure::measure(self, &gradients, &forward);
            let (of_loss, what) = self.tracer.at(self.plan.location, measure);
            norms.extend(of_loss);
            measured.push(what);
            skipped.push(bound..self.tracer.id_bound());
        }
        gradients
    }

    /// The gradients with respect to all trained parameters.
    pub(crate) fn all_gradients(&self, loss: &Tensor) -> Gradients<'a> {
        self.derive(loss, |_| true)
    }

    /// A loss with the penalties of the parameters that are wanted.
    pub(crate) fn penalized(&self, loss: Tensor, is_wanted: impl Fn(&Trained) -> bool) -> Tensor {
        self.tracer.at(self.plan.location, || {
            self.tracer.within("penalty", || {
                let mut loss = loss;
                for (index, parameter) in self.plan.parameters.iter().enumerate() {
                    if parameter.trained.as_ref().is_some_and(&is_wanted) {
                        loss = self.plan.rules.penalize(loss, &parameter.name, &self.current(index));
                    }
                }
                loss
            })
        })
    }

    /// Whether a loss is one number; otherwise this is a mistake of the trace.
    pub(crate) fn check_loss(&self, loss: &Tensor) -> bool {
        let is_number = loss.rank() == 0 && loss.dtype().is_float();
        if !is_number {
            let problem = Problem::NotScalar { what: "the loss", ty: loss.ty().clone() };
            self.tracer.at(self.plan.location, || self.tracer.refuse(problem, &[("loss", loss)]));
        }
        is_number
    }

    fn derive(&self, loss: &Tensor, is_wanted: impl Fn(&Trained) -> bool) -> Gradients<'a> {
        // With a mistake there is nothing to differentiate, and it will be reported.
        if !self.check_loss(loss) || self.tracer.check().is_err() {
            return Gradients { plan: self.plan, gradients: Vec::new() };
        }
        let parameters = self.plan.parameters.iter().enumerate();
        let wanted = |(index, parameter): (usize, &Parameter)| {
            parameter.trained.as_ref().is_some_and(&is_wanted).then_some(index)
        };
        let indices: Vec<usize> = parameters.filter_map(wanted).collect();
        let values: Vec<Tensor> = indices.iter().map(|&index| self.current(index)).collect();
        let (mut gradients, mut unreached) = (Vec::new(), Vec::new());
        let derived = self.tracer.derive(loss, &values.iter().collect::<Vec<_>>());
        for (&index, gradient) in indices.iter().zip(derived) {
            match gradient {
                Ok(gradient) => gradients.push((index, gradient)),
                Err(cuts) => {
                    let StateValue { name, ty, .. } = &self.plan.state[index];
                    let (name, ty, location) = (name.clone(), ty.clone(), self.plan.location);
                    unreached.push(Unreached { name, ty, cuts, location });
                }
            }
        }
        if !unreached.is_empty() {
            self.problem.borrow_mut().get_or_insert(Error::NoGradient(unreached));
        }
        Gradients { plan: self.plan, gradients }
    }

    /// Names, present values and gradients of parameters.
    pub(super) fn with_values<'g>(
        &self,
        gradients: &'g Gradients<'_>,
    ) -> impl Iterator<Item = (&'g str, Tensor, &'g Tensor)> {
        let indices = gradients.gradients.iter().map(|&(index, _)| index);
        let values = indices.map(|index| self.current(index));
        gradients.iter().zip(values).map(|((name, gradient), value)| (name, value, gradient))
    }

    /// Moves parameters along gradients, by the rule of the optimizer of their group. What follows in the program sees
    /// the new parameters; no gradient flows back into the update.
    pub fn apply(&self, gradients: Gradients<'_>) {
        let Gradients { gradients, .. } = gradients;
        let bound = self.tracer.id_bound();
        // Each group has its name in the names of the values: that of its optimizer.
        self.tracer.at(self.plan.location, || {
            let (indices, gradients): (Vec<usize>, Vec<Tensor>) = gradients.into_iter().unzip();
            let clipped = self.tracer.within("clip", || self.plan.rules.clip(gradients));
            for (number, group) in self.plan.groups.iter().enumerate() {
                let is_of_group = |index: usize| self.trained(index).group == number;
                let of_group: Vec<(usize, &Tensor)> =
                    indices.iter().copied().zip(&clipped).filter(|&(index, _)| is_of_group(index)).collect();
                if !of_group.is_empty() {
                    self.tracer.within(group.optimizer.name(), || self.update(number, group, &of_group));
                }
            }
        });
        if let Some(health) = &self.health {
            health.borrow_mut().skipped.push(bound..self.tracer.id_bound());
        }
    }

    /// Moves the parameters of one group.
    fn update(&self, number: usize, group: &Group<'_>, gradients: &[(usize, &Tensor)]) {
        let rate = self.current(self.plan.learning_rate(number));
        let step = self.current(self.plan.step(number)) + 1.0;
        let mut shared: BTreeMap<DType, Vec<Tensor>> = BTreeMap::new();
        for &(index, gradient) in gradients {
            let (parameter, trained) = (&self.plan.parameters[index], self.trained(index));
            let shared = shared
                .entry(gradient.dtype())
                .or_insert_with(|| group.optimizer.prepare(&rate, &step, gradient.dtype()));
            let slots: Vec<Tensor> = trained.slots.clone().map(|slot| self.current(slot)).collect();
            self.tracer.in_layer(Some(&parameter.name), || {
                let updated = group.optimizer.update(shared, &self.current(index), gradient, &slots);
                let value = self.plan.rules.constrain(&parameter.name, updated.parameter);
                if let (Some(average), Some(decay)) = (trained.average, self.plan.rules.average) {
                    // The average begins with the first value that it sees, as `torch.optim.swa_utils.AveragedModel`.
                    let moved = self.current(average).lerp(&value, 1.0 - decay);
                    self.set(average, step.le(1.0).select(&value, moved));
                }
                self.set(index, value);
                trained.slots.clone().zip(updated.slots).for_each(|(slot, next)| self.set(slot, next));
            });
        }
        self.set(self.plan.step(number), step);
    }

    /// Adds gradients to those that wait for a step.
    pub(crate) fn accumulate(&self, gradients: Gradients<'_>) {
        self.tracer.at(self.plan.location, || {
            for (index, gradient) in &gradients.gradients {
                let place = self.trained(*index).accumulated.expect("gradients are accumulated");
                self.set(place, self.current(place) + gradient);
            }
            let count = self.plan.accumulated().expect("gradients are accumulated");
            self.set(count, self.current(count) + 1.0);
        });
    }

    /// Moves parameters along the mean of these gradients and those that wait for the step.
    pub(crate) fn apply_with_accumulated(&self, mut gradients: Gradients<'_>) {
        if let Some(count) = self.plan.accumulated() {
            self.tracer.at(self.plan.location, || {
                let total = self.current(count) + 1.0;
                for (index, gradient) in &mut gradients.gradients {
                    let place = self.trained(*index).accumulated.expect("gradients are accumulated");
                    let waiting = self.current(place);
                    *gradient = (&waiting + &*gradient) / total.cast(gradient.dtype());
                    self.set(place, waiting.zeros_like());
                }
                self.set(count, total.zeros_like());
            });
        }
        self.apply(gradients);
    }

    fn trained(&self, index: usize) -> &'a Trained {
        self.plan.parameters[index].trained.as_ref().expect("a parameter with a gradient is trained")
    }

    /// A piece of the state as it is now.
    fn current(&self, index: usize) -> Tensor {
        self.changed.borrow().get(&index).unwrap_or(&self.before[index]).clone()
    }

    fn set(&self, index: usize, value: Tensor) {
        // What was derived from the old value must not be differentiated through when the new one is used.
        if let Some(parameter) = self.plan.parameters.get(index) {
            self.tracer.set_detached(&value, true);
            self.tracer.rebind_parameter(parameter.id, &value);
        }
        self.changed.borrow_mut().insert(index, value);
    }

    /// The next values of the state that changed, in its order.
    pub(crate) fn finish(self) -> Result<Vec<(usize, Tensor)>, Error> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let mut changed = self.changed.take();
        // No more gradient is derived in this trace: the marks of `set` have no meaning in its text.
        changed.values().for_each(|value| self.tracer.set_detached(value, false));
        for (index, parameter) in self.plan.parameters.iter().enumerate().filter(|(_, p)| p.is_buffer) {
            let (value, _) = self.tracer.parameter(parameter.id).expect("every parameter is bound");
            if value.id() != self.before[index].id() {
                changed.insert(index, value);
            }
        }
        let next = || self.tracer.within("random", || self.tracer.next_random_state());
        let random = self.tracer.at(self.plan.location, next);
        changed.extend(random.map(|next| (self.plan.random(), next)));
        Ok(changed.into_iter().collect())
    }
}

//! Loops over the first axis: recurrent layers, and whatever else goes step by step.

use super::Tensor;
use crate::trace::{Body, Tracer};
use kiln_ir::Op;
use kiln_passes::loop_bodies::{Carried, Form};
use std::panic::Location;

/// A loop: a function that is traced once and run for each index of the first axis of some tensors.
///
/// The compiled program holds the function once, whatever the number of steps, and so does its gradient, a loop that runs
/// backwards. Values that the function takes from outside of it are the same in each step; what is computed from these
/// alone is computed once.
///
/// ```
/// use kiln::prelude::*;
///
/// // A running mean: `h` becomes `0.9 h + 0.1 x`; all values of `h` are kept.
/// let tracer = Tracer::new("mean");
/// let x = tracer.input("x", f32(&[100, 8]));
/// let start = tracer.input("start", f32(&[8]));
/// let scanned = Scan::over(&[&x]).carry(&[&start]).run(|h, x| {
///     let next = &h[0] * 0.9 + &x[0] * 0.1;
///     (vec![next.clone()], vec![next])
/// });
/// assert_eq!(scanned.carried[0].extents(), [8]);
/// assert_eq!(scanned.stacked[0].extents(), [100, 8]);
/// ```
///
/// Random numbers that the function draws are the same in each step.
#[derive(Clone)]
pub struct Scan<'a> {
    stacked: Vec<&'a Tensor>,
    carried: Vec<&'a Tensor>,
    n_steps: Option<usize>,
    reverse: bool,
}

/// What a [`Scan`] returns.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The carried values after the last step.
    pub carried: Vec<Tensor>,
    /// What the steps returned besides, each stacked along a new first axis.
    pub stacked: Vec<Tensor>,
}

impl<'a> Scan<'a> {
    /// A loop with a step for each index along the first axis of these tensors, of which each step sees its own part.
    pub fn over(stacked: &[&'a Tensor]) -> Scan<'a> {
        Scan { stacked: stacked.to_vec(), carried: Vec::new(), n_steps: None, reverse: false }
    }

    /// A loop of so many steps.
    pub fn steps(n_steps: usize) -> Scan<'a> {
        Scan { stacked: Vec::new(), carried: Vec::new(), n_steps: Some(n_steps), reverse: false }
    }

    /// With values that go from each step to the next, beginning with these.
    pub fn carry(self, carried: &[&'a Tensor]) -> Scan<'a> {
        Scan { carried: carried.to_vec(), ..self }
    }

    /// From the last index to the first. What is stacked keeps the order of the indices.
    pub fn reversed(self) -> Scan<'a> {
        Scan { reverse: true, ..self }
    }

    /// Runs a function: from the carried values and the parts of a step to the next carried values and what is stacked.
    ///
    /// Shapes: a tensor that is looped over is `[steps, ..]`, its part `[..]`; what is stacked becomes `[steps, ..]`.
    ///
    /// Errors: extents of the first axes differ, or there is no step; the next carried values are others in number or
    /// type than the ones before.
    ///
    /// # Panics
    /// When there is neither a tensor to loop over nor one to carry.
    #[track_caller]
    pub fn run(self, body: impl FnOnce(&[Tensor], &[Tensor]) -> (Vec<Tensor>, Vec<Tensor>)) -> Scanned {
        let location = Location::caller();
        let any = *self.stacked.iter().chain(&self.carried).next().expect("a scan of at least one tensor");
        let tracer = any.tracer().clone();
        let first = tracer.id_bound();
        let problem = self.problem();
        let is_poisoned = self.stacked.iter().chain(&self.carried).any(|tensor| tensor.id().is_none());
        let n_steps = self.n_steps.unwrap_or_else(|| any.extents().first().copied().unwrap_or(1));
        let (carried, parts) = match problem {
            // The function still says how many results there are.
            Some(_) => self.poisoned_inputs(&tracer),
            None => self.inputs(location),
        };
        let (next, results) = body(&carried, &parts);
        let problem = problem.or_else(|| mismatch(&carried, &next));
        // Types of poisoned tensors are guesses: what does not fit them is no mistake of its own.
        if let Some(problem) = problem.filter(|_| !is_poisoned) {
            tracer.at(location, || any.refuse("scan", problem));
            return poisoned(&tracer, &self.carried, &results);
        }
        if is_poisoned || next.iter().chain(&results).any(|tensor| tensor.id().is_none()) {
            return poisoned(&tracer, &self.carried, &results);
        }
        let mut form = Form::default();
        for ((input, next), first) in carried.iter().zip(&next).zip(&self.carried) {
            let (input, next, first) = (input.expect_id(), next.expect_id(), first.expect_id());
            form.carried.push(Carried { input, next, first });
        }
        form.stacked = parts
            .iter()
            .zip(&self.stacked)
            .map(|(part, stack)| (part.expect_id(), stack.expect_id()))
            .collect();
        form.results = results.iter().map(Tensor::expect_id).collect();
        let body = Body { form, first, n_steps, reverse: self.reverse };
        let mut carried = tracer.record_loop(body, location);
        let stacked = carried.split_off(next.len());
        Scanned { carried, stacked }
    }

    /// What is wrong with the operands.
    fn problem(&self) -> Option<String> {
        let mut n_steps = self.n_steps;
        for tensor in &self.stacked {
            let Some(&extent) = tensor.extents().first() else {
                return Some("a number has no axis to loop over".to_string());
            };
            let expected = *n_steps.get_or_insert(extent);
            if expected != extent {
                let ty = tensor.ty();
                return Some(format!(
                    "there are {expected} steps, but {extent} parts of {ty} along its first axis"
                ));
            }
        }
        match n_steps {
            None => {
                Some("nothing says how many steps there are: use `Scan::over` or `Scan::steps`".to_string())
            }
            Some(0) => Some("there is no step".to_string()),
            Some(_) => None,
        }
    }

    /// What the function is traced on: nodes with the types that a step sees.
    fn inputs(&self, location: &'static Location<'static>) -> (Vec<Tensor>, Vec<Tensor>) {
        let of_step = |tensor: &&Tensor| {
            tensor.tracer().at(location, || tensor.select_index(0, if self.reverse { -1 } else { 0 }))
        };
        let same = |tensor: &&Tensor| {
            tensor.tracer().at(location, || tensor.record(Op::Reshape(tensor.shape().clone()), &[]))
        };
        (self.carried.iter().map(same).collect(), self.stacked.iter().map(of_step).collect())
    }

    fn poisoned_inputs(&self, tracer: &Tracer) -> (Vec<Tensor>, Vec<Tensor>) {
        let same = |tensor: &&Tensor| Tensor::new(tracer, None, tensor.ty().clone());
        let part = |tensor: &&Tensor| {
            let extents = tensor.extents().get(1..).unwrap_or_default();
            Tensor::new(tracer, None, kiln_ir::TensorType::new(tensor.dtype(), extents))
        };
        (self.carried.iter().map(same).collect(), self.stacked.iter().map(part).collect())
    }
}

/// What is wrong with the next carried values.
fn mismatch(carried: &[Tensor], next: &[Tensor]) -> Option<String> {
    if carried.len() != next.len() {
        return Some(format!("{} values are carried, the function returns {}", carried.len(), next.len()));
    }
    let differs = |(_, (before, after)): &(usize, (&Tensor, &Tensor))| {
        before.ty() != after.ty() && before.id().is_some() && after.id().is_some()
    };
    let (i, (before, after)) = carried.iter().zip(next).enumerate().find(differs)?;
    Some(format!("carried value {i} is {}, the function returns {} for it", before.ty(), after.ty()))
}

/// Results that stand for those of a mistake.
fn poisoned(tracer: &Tracer, carried: &[&Tensor], results: &[Tensor]) -> Scanned {
    let same = |ty: &kiln_ir::TensorType| Tensor::new(tracer, None, ty.clone());
    Scanned {
        carried: carried.iter().map(|tensor| same(tensor.ty())).collect(),
        stacked: results.iter().map(|tensor| same(tensor.ty())).collect(),
    }
}

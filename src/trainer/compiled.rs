//! The backend that compiles: each program of a trainer becomes one executable, and all work on one state.

use super::backend::{Backend, Sides};
use super::plan::{Plan, Task, types};
use crate::compile::{CompileOptions, try_compile};
use crate::error::Error;
use crate::executable::Executable;
use crate::runtime::Background;
use crate::state::State;
use kiln_ir::{TensorData, TensorType};

/// Bytes of state up to which its first values are drawn beside the first compilation, which has the machine for itself
/// when they would take longer.
const SMALL_STATE: usize = 64 << 20;

/// Compiles a program for each task and batch type when it is first asked for.
pub(crate) struct Compiled {
    /// Its first values are drawn beside the compilation of the first program, or after it.
    state: Background<State>,
    options: CompileOptions,
    /// The executable cache. Few programs are made and they are looked up at every step: a list is quickest.
    programs: Vec<(Task, [Vec<TensorType>; 2], Executable)>,
}

impl Compiled {
    pub fn new(plan: &Plan<'_>, options: CompileOptions) -> Compiled {
        let values = plan.state.clone();
        let options = CompileOptions { n_state: values.len(), ..options };
        let n_bytes: usize = values.iter().map(|value| value.ty.n_bytes()).sum();
        let mut state = Background::new(move || {
            let types: Vec<TensorType> = values.iter().map(|value| value.ty.clone()).collect();
            State::written(&types, |i, bytes| values[i].write_first(bytes))
        });
        if n_bytes <= SMALL_STATE {
            state.begin();
        }
        Compiled { state, options, programs: Vec::new() }
    }

    /// The position of the program for a task and a batch of these types.
    fn position(&self, task: Task, batch: Sides<'_>) -> Option<usize> {
        let fits = |types: &[TensorType], tensors: &[&TensorData]| {
            let same = |(ty, tensor): (&TensorType, &&TensorData)| {
                ty.dtype == tensor.dtype() && ty.shape == *tensor.shape()
            };
            types.len() == tensors.len() && types.iter().zip(tensors).all(same)
        };
        self.programs.iter().position(|(of, [inputs, targets], _)| {
            *of == task && fits(inputs, batch[0]) && fits(targets, batch[1])
        })
    }

    /// Runs the program for a batch, which is compiled when there is none yet.
    fn execute(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<&Executable, Error> {
        let position = match self.position(task, batch) {
            Some(position) => position,
            None => {
                self.prepare(plan, task, [&types(batch[0]), &types(batch[1])])?;
                self.programs.len() - 1
            }
        };
        let executable = &mut self.programs[position].2;
        executable.run_with(self.state.get_mut(), batch[0].iter().chain(batch[1]).copied());
        Ok(executable)
    }
}

impl Backend for Compiled {
    fn step(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<f64, Error> {
        self.execute(plan, task, batch).map(|executable| executable.scalar(0))
    }

    fn prepare(&mut self, plan: &Plan<'_>, task: Task, types: [&[TensorType]; 2]) -> Result<(), Error> {
        let graph = plan.graph(task, types[0], types[1])?;
        let executable = try_compile(graph, &self.options)?;
        self.state.begin();
        self.programs.push((task, types.map(<[TensorType]>::to_vec), executable));
        Ok(())
    }

    fn run(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<Vec<TensorData>, Error> {
        let executable = self.execute(plan, task, batch)?;
        let outputs = executable.graph().outputs().iter().enumerate();
        Ok(outputs
            .filter(|(_, output)| output.updates.is_none())
            .map(|(k, _)| executable.output(k))
            .collect())
    }

    fn state(&self, index: usize) -> TensorData {
        self.state.get().get(index)
    }

    fn set_state(&mut self, index: usize, value: TensorData) {
        self.state.get_mut().set(index, &value);
    }

    fn scalar(&self, index: usize) -> f64 {
        self.state.get().scalar(index)
    }

    fn set_scalar(&mut self, index: usize, value: f64) {
        self.state.get_mut().set_scalar(index, value);
    }

    fn executable(&self, task: Task) -> Option<&Executable> {
        self.programs.iter().find(|program| program.0 == task).map(|program| &program.2)
    }
}

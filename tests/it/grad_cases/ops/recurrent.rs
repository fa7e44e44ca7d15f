//! Recurrent layers and cells, unrolled over the sequence.

use super::attention::weight;
use crate::grad_cases::call::{Call, NotSupported, functions};
use kiln::prelude::*;

functions! {
    "nn.RNNCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true, nonlinearity: String = "tanh".to_string()] (
        x: Tensor, h: Tensor
    ) |call| => {
        let sum = gates(call, "", "ih", &x)? + gates(call, "", "hh", &h)?;
        if nonlinearity == "relu" { sum.relu() } else { sum.tanh() }
    };
    "nn.LSTMCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true] (x: Tensor, state: Vec<Tensor>) |call| => {
        lstm_cell(call, "", &x, &state[0], &state[1])?
    };
    "nn.GRUCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true] (x: Tensor, h: Tensor) |call| => {
        gru_cell(call, "", &x, &h)?
    };
    "nn.GRU": [
        _input_size: usize, hidden_size: usize, num_layers: usize = 1, _bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false
    ] (x: Tensor, h: Option<Tensor>) |call| => {
        let shape = Recurrent { n_layers: num_layers, bidirectional, batch_first, sizes: &[hidden_size] };
        shape.run(&x, &h.into_iter().collect::<Vec<_>>(), |suffix, x, state| Ok(vec![gru_cell(call, suffix, x, &state[0])?]))?
    };
    "nn.LSTM": [
        _input_size: usize, hidden_size: usize, num_layers: usize = 1, _bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false, proj_size: usize = 0
    ] (x: Tensor, state: Vec<Tensor> = Vec::new()) |call| => {
        let projected = if proj_size > 0 { proj_size } else { hidden_size };
        let sizes = &[projected, hidden_size];
        let shape = Recurrent { n_layers: num_layers, bidirectional, batch_first, sizes };
        shape.run(&x, &state, |suffix, x, state| Ok(lstm_cell(call, suffix, x, &state[0], &state[1])?.to_vec()))?
    };
}

/// `W x + b`: all gates of a cell from its input (`ih`) or from its state (`hh`).
fn gates(call: &Call, suffix: &str, part: &str, x: &Tensor) -> Result<Tensor, NotSupported> {
    let bias = call.state(&format!("bias_{part}{suffix}"));
    Ok(x.linear(&weight(call, &format!("weight_{part}{suffix}"))?, bias.as_ref()))
}

fn lstm_cell(
    call: &Call,
    suffix: &str,
    x: &Tensor,
    h: &Tensor,
    c: &Tensor,
) -> Result<[Tensor; 2], NotSupported> {
    let gates = (gates(call, suffix, "ih", x)? + gates(call, suffix, "hh", h)?).chunk(4, -1);
    let c = gates[1].sigmoid() * c + gates[0].sigmoid() * gates[2].tanh();
    let h = gates[3].sigmoid() * c.tanh();
    let projection = call.state(&format!("weight_hr{suffix}"));
    Ok([projection.iter().fold(h, |h, projection| h.linear(projection, None)), c])
}

fn gru_cell(call: &Call, suffix: &str, x: &Tensor, h: &Tensor) -> Result<Tensor, NotSupported> {
    let by_input = gates(call, suffix, "ih", x)?.chunk(3, -1);
    let by_state = gates(call, suffix, "hh", h)?.chunk(3, -1);
    let reset = (&by_input[0] + &by_state[0]).sigmoid();
    let update = (&by_input[1] + &by_state[1]).sigmoid();
    let new = (&by_input[2] + reset * &by_state[2]).tanh();
    Ok((1.0 - &update) * new + update * h)
}

/// A recurrent module: layers over a sequence, in one direction or both.
struct Recurrent<'a> {
    n_layers: usize,
    bidirectional: bool,
    batch_first: bool,
    /// Widths of the parts of the state.
    sizes: &'a [usize],
}

impl Recurrent<'_> {
    /// The results of the last layer, and each part of the final state of each layer and direction.
    fn run(
        &self,
        x: &Tensor,
        initial: &[Tensor],
        cell: impl Fn(&str, &Tensor, &[Tensor]) -> Result<Vec<Tensor>, NotSupported>,
    ) -> Result<Vec<Tensor>, NotSupported> {
        let time = if x.rank() == 3 && self.batch_first { 1 } else { 0 };
        let directions = if self.bidirectional { 2 } else { 1 };
        let mut steps = x.unbind(time);
        let mut finals: Vec<Vec<Tensor>> = vec![Vec::new(); self.sizes.len()];
        for layer in 0..self.n_layers {
            let mut by_direction = Vec::new();
            for direction in 0..directions {
                let suffix = format!("_l{layer}{}", if direction == 1 { "_reverse" } else { "" });
                let mut state = self.initial(&steps[0], initial, layer * directions + direction);
                let mut order: Vec<usize> = (0..steps.len()).collect();
                if direction == 1 {
                    order.reverse();
                }
                let mut results = vec![steps[0].clone(); steps.len()];
                for i in order {
                    state = cell(&suffix, &steps[i], &state)?;
                    results[i] = state[0].clone();
                }
                state.into_iter().zip(&mut finals).for_each(|(part, finals)| finals.push(part));
                by_direction.push(results);
            }
            let joined =
                |i: usize| cat(&by_direction.iter().map(|results| &results[i]).collect::<Vec<_>>(), -1);
            steps = (0..steps.len()).map(joined).collect();
        }
        let result = stack(&steps.iter().collect::<Vec<_>>(), time);
        let finals = finals.iter().map(|parts| stack(&parts.iter().collect::<Vec<_>>(), 0));
        Ok([result].into_iter().chain(finals).collect())
    }

    /// The state that a layer begins with: the one given, or zeros.
    fn initial(&self, step: &Tensor, given: &[Tensor], layer: usize) -> Vec<Tensor> {
        let zeros = |&size: &usize| {
            let shape: Vec<usize> = step.extents()[..step.rank() - 1].iter().copied().chain([size]).collect();
            step.constant(TensorData::zeros(&f32(&shape)))
        };
        match given {
            [] => self.sizes.iter().map(zeros).collect(),
            given => given.iter().map(|part| part.select_index(0, layer as i64)).collect(),
        }
    }
}

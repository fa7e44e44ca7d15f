//! Recurrent layers and cells.

use super::attention::weight;
use crate::grad_cases::call::{Call, NotSupported, functions};
use kiln::nn::{CellKind, CellWeights, RecurrentOptions, cell, recurrent};
use kiln::prelude::*;

functions! {
    "nn.RNNCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true, nonlinearity: String = "tanh".to_string()] (
        x: Tensor, h: Tensor
    ) |call| => cell(rnn(&nonlinearity), &x, &[h], &weights(call, "")?);
    "nn.LSTMCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true] (x: Tensor, state: Vec<Tensor>) |call| => {
        cell(CellKind::Lstm, &x, &state, &weights(call, "")?)
    };
    "nn.GRUCell": [_input_size: usize, _hidden_size: usize, _bias: bool = true] (x: Tensor, h: Tensor) |call| => {
        cell(CellKind::Gru, &x, &[h], &weights(call, "")?)
    };
    "nn.RNN": [
        _input_size: usize, _hidden_size: usize, num_layers: usize = 1, nonlinearity: String = "tanh".to_string(),
        _bias: bool = true, batch_first: bool = false, _dropout: f64 = 0.0, bidirectional: bool = false
    ] (x: Tensor, h: Option<Tensor>) |call| => {
        let options = options(rnn(&nonlinearity), num_layers, batch_first, bidirectional);
        run(call, &options, &x, h.into_iter().collect())?
    };
    "nn.GRU": [
        _input_size: usize, _hidden_size: usize, num_layers: usize = 1, _bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false
    ] (x: Tensor, h: Option<Tensor>) |call| => {
        let options = options(CellKind::Gru, num_layers, batch_first, bidirectional);
        run(call, &options, &x, h.into_iter().collect())?
    };
    "nn.LSTM": [
        _input_size: usize, _hidden_size: usize, num_layers: usize = 1, _bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false, _proj_size: usize = 0
    ] (x: Tensor, state: Vec<Tensor> = Vec::new()) |call| => {
        let options = options(CellKind::Lstm, num_layers, batch_first, bidirectional);
        run(call, &options, &x, state)?
    };
}

fn rnn(nonlinearity: &str) -> CellKind {
    if nonlinearity == "relu" { CellKind::RnnRelu } else { CellKind::RnnTanh }
}

fn options(kind: CellKind, n_layers: usize, batch_first: bool, bidirectional: bool) -> RecurrentOptions {
    RecurrentOptions { kind, n_layers, bidirectional, batch_first, dropout: 0.0 }
}

fn weights(call: &Call, suffix: &str) -> Result<CellWeights, NotSupported> {
    let state = |name: &str| call.state(&format!("{name}{suffix}"));
    Ok(CellWeights {
        weight_ih: weight(call, &format!("weight_ih{suffix}"))?,
        weight_hh: weight(call, &format!("weight_hh{suffix}"))?,
        bias_ih: state("bias_ih"),
        bias_hh: state("bias_hh"),
        weight_hr: state("weight_hr"),
    })
}

/// The results of the last layer, and each part of the final state.
fn run(
    call: &Call,
    options: &RecurrentOptions,
    x: &Tensor,
    state: Vec<Tensor>,
) -> Result<Vec<Tensor>, NotSupported> {
    let mut all = Vec::new();
    for layer in 0..options.n_layers {
        all.push(weights(call, &format!("_l{layer}"))?);
        if options.bidirectional {
            all.push(weights(call, &format!("_l{layer}_reverse"))?);
        }
    }
    let state = (!state.is_empty()).then_some(&state[..]);
    let (result, finals) = recurrent(options, x, state, &all);
    Ok([result].into_iter().chain(finals).collect())
}

//! Recurrent layers and cells.

use crate::grad_cases::call::functions;
use kiln::nn::{GruCell, LstmCell, RnnCell};
use kiln::prelude::*;

/// The options that all recurrent layers have.
macro_rules! with_options {
    ($layer:expr, $n_layers:expr, $bias:expr, $batch_first:expr, $bidirectional:expr) => {{
        let layer = $layer.layers($n_layers);
        let layer = if $bias { layer } else { layer.without_bias() };
        let layer = if $batch_first { layer.batch_first() } else { layer };
        if $bidirectional { layer.bidirectional() } else { layer }
    }};
}

functions! {
    "nn.RNNCell": [input_size: usize, hidden_size: usize, bias: bool = true, nonlinearity: String = "tanh".to_string()] (
        x: Tensor, h: Tensor
    ) |call| => {
        let cell = RnnCell::new(input_size, hidden_size);
        let cell = if nonlinearity == "relu" { cell.relu() } else { cell };
        call.layer(if bias { cell } else { cell.without_bias() }).step(&x, &[h])
    };
    "nn.LSTMCell": [input_size: usize, hidden_size: usize, bias: bool = true] (x: Tensor, state: Vec<Tensor>) |call| => {
        let cell = LstmCell::new(input_size, hidden_size);
        call.layer(if bias { cell } else { cell.without_bias() }).step(&x, &state)
    };
    "nn.GRUCell": [input_size: usize, hidden_size: usize, bias: bool = true] (x: Tensor, h: Tensor) |call| => {
        let cell = GruCell::new(input_size, hidden_size);
        call.layer(if bias { cell } else { cell.without_bias() }).step(&x, &[h])
    };
    "nn.RNN": [
        input_size: usize, hidden_size: usize, num_layers: usize = 1, nonlinearity: String = "tanh".to_string(),
        bias: bool = true, batch_first: bool = false, _dropout: f64 = 0.0, bidirectional: bool = false
    ] (x: Tensor, h: Option<Tensor>) |call| => {
        let layer = with_options!(Rnn::new(input_size, hidden_size), num_layers, bias, batch_first, bidirectional);
        let layer = call.layer(if nonlinearity == "relu" { layer.relu() } else { layer });
        results(layer.run(&x, h.as_ref().map(std::slice::from_ref)))
    };
    "nn.GRU": [
        input_size: usize, hidden_size: usize, num_layers: usize = 1, bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false
    ] (x: Tensor, h: Option<Tensor>) |call| => {
        let layer = with_options!(Gru::new(input_size, hidden_size), num_layers, bias, batch_first, bidirectional);
        results(call.layer(layer).run(&x, h.as_ref().map(std::slice::from_ref)))
    };
    "nn.LSTM": [
        input_size: usize, hidden_size: usize, num_layers: usize = 1, bias: bool = true, batch_first: bool = false,
        _dropout: f64 = 0.0, bidirectional: bool = false, proj_size: usize = 0
    ] (x: Tensor, state: Vec<Tensor> = Vec::new()) |call| => {
        let layer = with_options!(Lstm::new(input_size, hidden_size), num_layers, bias, batch_first, bidirectional);
        let layer = call.layer(if proj_size > 0 { layer.projected(proj_size) } else { layer });
        results(layer.run(&x, (!state.is_empty()).then_some(&state[..])))
    };
}

/// The results of the last layer, and each part of the final state.
fn results((result, finals): (Tensor, Vec<Tensor>)) -> Vec<Tensor> {
    [result].into_iter().chain(finals).collect()
}

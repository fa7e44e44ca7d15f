//! Recurrent layers: `Rnn`, `Lstm` and `Gru`, with PyTorch's parameters, defaults and names, and their cells.
//!
//! The input's part of all gates is one product over all steps, before the loop; the loop holds what depends on the step
//! before. Formulas, with the sigmoid `σ`, and their sources:
//!
//! - RNN: `h' = tanh(W x + b + U h + c)`, or `relu`. Elman, *Finding structure in time*, 1990; with `relu`: Le and others,
//!   *A simple way to initialize recurrent networks of rectified linear units*, 2015.
//! - LSTM: gates `i, f, g, o` of `W x + b + U h + c`; `c' = σ(f) c + σ(i) tanh(g)`, `h' = σ(o) tanh(c')`; with a
//!   projection `h' = P σ(o) tanh(c')`. Hochreiter and Schmidhuber, *Long short-term memory*, 1997, with the forget gate
//!   of Gers and others, *Learning to forget*, 2000; the projection of Sak and others, 2014.
//! - GRU: `r = σ(W_r x + b_r + U_r h + c_r)`, `z` likewise, `n = tanh(W_n x + b_n + r (U_n h + c_n))`,
//!   `h' = (1 - z) n + z h`. Cho and others, *Learning phrase representations using RNN encoder-decoder*, 2014.

use super::{Init, Model, Module, Param, Visitor};
use crate::tensor::{Scan, Tensor, cat, stack};
use kiln_ir::{Literal, Op, Shape};

/// What a recurrent layer computes in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// `tanh` of the sum.
    RnnTanh,
    /// `relu` of the sum.
    RnnRelu,
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent unit.
    Gru,
}

/// The weights of one layer in one direction.
#[derive(Clone, Debug)]
pub struct CellWeights {
    /// `[gates * hidden, in]`.
    pub weight_ih: Tensor,
    /// `[gates * hidden, out]`.
    pub weight_hh: Tensor,
    /// `[gates * hidden]`.
    pub bias_ih: Option<Tensor>,
    /// `[gates * hidden]`.
    pub bias_hh: Option<Tensor>,
    /// `[out, hidden]`, of an LSTM with a projection.
    pub weight_hr: Option<Tensor>,
}

/// How recurrent layers are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecurrentOptions {
    /// What a step computes.
    pub kind: CellKind,
    /// Layers, one on the results of the other.
    pub n_layers: usize,
    /// Whether a second one of each layer runs from the last step to the first.
    pub bidirectional: bool,
    /// Whether the batch is the first axis, not the second.
    pub batch_first: bool,
    /// The share of a layer's results that is dropped before the next layer in training.
    pub dropout: f64,
}

impl CellKind {
    /// How many rows of weights there are for each hidden value.
    pub fn n_gates(self) -> usize {
        match self {
            CellKind::RnnTanh | CellKind::RnnRelu => 1,
            CellKind::Lstm => 4,
            CellKind::Gru => 3,
        }
    }

    /// How many parts the state has.
    fn n_parts(self) -> usize {
        match self {
            CellKind::RnnTanh | CellKind::RnnRelu | CellKind::Gru => 1,
            CellKind::Lstm => 2,
        }
    }

    /// A poisoned tensor, unless a state has as many parts as it should.
    #[track_caller]
    fn check_state(self, x: &Tensor, state: &[Tensor]) -> Result<(), Tensor> {
        let (n, parts) = (state.len(), self.n_parts());
        let problem = || format!("its state has {parts} parts, {n} were given");
        if n == parts { Ok(()) } else { Err(x.refuse(self.name(), problem())) }
    }

    fn name(self) -> &'static str {
        match self {
            CellKind::RnnTanh | CellKind::RnnRelu => "rnn",
            CellKind::Lstm => "lstm",
            CellKind::Gru => "gru",
        }
    }

    /// The state after a step, the output first, from the parts of the gates and the state before.
    fn step(self, by_input: &Tensor, by_state: &Tensor, state: &[Tensor], w: &CellWeights) -> Vec<Tensor> {
        match self {
            CellKind::RnnTanh => vec![(by_input + by_state).tanh()],
            CellKind::RnnRelu => vec![(by_input + by_state).relu()],
            CellKind::Lstm => {
                let gates = (by_input + by_state).chunk(4, -1);
                let c = gates[1].sigmoid() * &state[1] + gates[0].sigmoid() * gates[2].tanh();
                let h = gates[3].sigmoid() * c.tanh();
                vec![w.weight_hr.iter().fold(h, |h, projection| h.linear(projection, None)), c]
            }
            CellKind::Gru => {
                let (x, h) = (by_input.chunk(3, -1), by_state.chunk(3, -1));
                let reset = (&x[0] + &h[0]).sigmoid();
                let update = (&x[1] + &h[1]).sigmoid();
                let new = (&x[2] + reset * &h[2]).tanh();
                vec![(1.0 - &update) * new + update * &state[0]]
            }
        }
    }

    /// The bias that belongs to the input's part of the gates, and that of the state's part. In a GRU the latter is
    /// multiplied by a gate; elsewhere both are added before the loop.
    fn biases(self, w: &CellWeights) -> [Option<Tensor>; 2] {
        match (self, &w.bias_ih, &w.bias_hh) {
            (CellKind::Gru, _, _) => [w.bias_ih.clone(), w.bias_hh.clone()],
            (_, Some(ih), Some(hh)) => [Some(ih + hh), None],
            (_, ih, hh) => [ih.clone().or_else(|| hh.clone()), None],
        }
    }
}

/// One step of a cell: the state after it, the output first.
///
/// Shapes: `x: [.., in]`, each part of the state `[.., hidden]`. Errors: the state has not one part, two for an LSTM.
#[track_caller]
pub fn cell(kind: CellKind, x: &Tensor, state: &[Tensor], w: &CellWeights) -> Vec<Tensor> {
    if let Err(poisoned) = kind.check_state(x, state) {
        return vec![poisoned; kind.n_parts()];
    }
    let [bias_ih, bias_hh] = kind.biases(w);
    let by_input = x.linear(&w.weight_ih, bias_ih.as_ref());
    let by_state = state[0].linear(&w.weight_hh, bias_hh.as_ref());
    kind.step(&by_input, &by_state, state, w)
}

/// Recurrent layers over a sequence: the results of the last layer, and each part of the state after the last step, of all
/// layers and directions. `weights` has one entry for each layer and direction; without a state it begins with zeros.
///
/// Shapes: `x: [steps, batch, in]`, `[batch, steps, in]` with `batch_first`, or `[steps, in]`; the result likewise, with
/// the outputs of both directions side by side; each part of the state `[layers * directions, batch, hidden]`. Errors: as
/// for a [`cell`].
#[track_caller]
pub fn recurrent(
    options: &RecurrentOptions,
    x: &Tensor,
    state: Option<&[Tensor]>,
    weights: &[CellWeights],
) -> (Tensor, Vec<Tensor>) {
    if let Err(poisoned) = state.map_or(Ok(()), |state| options.kind.check_state(x, state)) {
        return (poisoned.clone(), vec![poisoned; options.kind.n_parts()]);
    }
    let n_directions = if options.bidirectional { 2 } else { 1 };
    let swap = options.batch_first && x.rank() == 3;
    let mut x = if swap { x.transpose(0, 1) } else { x.clone() };
    let mut finals: Vec<Vec<Tensor>> = Vec::new();
    for layer in 0..options.n_layers {
        let mut results = Vec::new();
        for direction in 0..n_directions {
            let place = layer * n_directions + direction;
            let first = match state {
                Some(state) => state.iter().map(|part| part.select_index(0, place as i64)).collect(),
                None => zeros(options.kind, &x, &weights[place]),
            };
            let (result, last) = one_direction(options.kind, &x, &first, &weights[place], direction == 1);
            results.push(result);
            finals.push(last);
        }
        x = if n_directions == 1 { results.remove(0) } else { cat(&results.iter().collect::<Vec<_>>(), -1) };
        if options.dropout > 0.0 && layer + 1 < options.n_layers {
            x = x.dropout(options.dropout);
        }
    }
    let n_parts = finals.first().map_or(0, Vec::len);
    let part = |i: usize| stack(&finals.iter().map(|parts| &parts[i]).collect::<Vec<_>>(), 0);
    let finals = (0..n_parts).map(part).collect();
    (if swap { x.transpose(0, 1) } else { x }, finals)
}

fn one_direction(
    kind: CellKind,
    x: &Tensor,
    first: &[Tensor],
    w: &CellWeights,
    reverse: bool,
) -> (Tensor, Vec<Tensor>) {
    let [bias_ih, bias_hh] = kind.biases(w);
    let by_input = x.linear(&w.weight_ih, bias_ih.as_ref());
    let stacked = [&by_input];
    let scan = Scan::over(&stacked).carry(&first.iter().collect::<Vec<_>>());
    let scan = if reverse { scan.reversed() } else { scan };
    let mut scanned = scan.run(|state, by_input| {
        let by_state = state[0].linear(&w.weight_hh, bias_hh.as_ref());
        let next = kind.step(&by_input[0], &by_state, state, w);
        let output = next[0].clone();
        (next, vec![output])
    });
    (scanned.stacked.remove(0), scanned.carried)
}

/// The state that a layer over a sequence begins with when none is given.
fn zeros(kind: CellKind, x: &Tensor, w: &CellWeights) -> Vec<Tensor> {
    let last = |tensor: &Tensor, axis: usize| tensor.extents().get(axis).copied().unwrap_or(0);
    let hidden = last(&w.weight_hh, 0) / kind.n_gates();
    let sizes = match kind {
        CellKind::Lstm => vec![last(&w.weight_hh, 1), hidden],
        CellKind::RnnTanh | CellKind::RnnRelu | CellKind::Gru => vec![hidden],
    };
    let batch = x.extents().get(1..x.rank().saturating_sub(1)).unwrap_or_default();
    let of_size = |size: usize| {
        let shape: Shape = batch.iter().copied().chain([size]).collect();
        x.tracer().record(Op::Fill(Literal::zero(x.dtype()), shape), &[])
    };
    sizes.into_iter().map(of_size).collect()
}

/// Parameters of one layer in one direction, or of a cell.
#[derive(Debug)]
struct CellParams {
    /// What their names end with, as in `_l0_reverse`.
    suffix: String,
    weight_ih: Param,
    weight_hh: Param,
    biases: Option<[Param; 2]>,
    weight_hr: Option<Param>,
}

impl CellParams {
    fn new(kind: CellKind, n_in: usize, sizes: &Sizes, suffix: String) -> CellParams {
        // PyTorch draws all of them from the same distribution.
        let bound = (sizes.hidden.max(1) as f64).sqrt().recip();
        let init = || Init::Uniform { low: -bound, high: bound };
        let rows = kind.n_gates() * sizes.hidden;
        let n_out = sizes.projected.unwrap_or(sizes.hidden);
        CellParams {
            suffix,
            weight_ih: Param::new([rows, n_in], init()),
            weight_hh: Param::new([rows, n_out], init()),
            biases: sizes.bias.then(|| [0, 1].map(|_| Param::new([rows], init()))),
            weight_hr: sizes.projected.map(|n| Param::new([n, sizes.hidden], init())),
        }
    }

    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        let suffix = &self.suffix;
        visitor.child(&format!("weight_ih{suffix}"), &self.weight_ih);
        visitor.child(&format!("weight_hh{suffix}"), &self.weight_hh);
        if let Some([ih, hh]) = &self.biases {
            visitor.child(&format!("bias_ih{suffix}"), ih);
            visitor.child(&format!("bias_hh{suffix}"), hh);
        }
        if let Some(weight_hr) = &self.weight_hr {
            visitor.child(&format!("weight_hr{suffix}"), weight_hr);
        }
    }

    fn of(&self, x: &Tensor) -> CellWeights {
        let bias = |i: usize| self.biases.as_ref().map(|biases| biases[i].of(x));
        CellWeights {
            weight_ih: self.weight_ih.of(x),
            weight_hh: self.weight_hh.of(x),
            bias_ih: bias(0),
            bias_hh: bias(1),
            weight_hr: self.weight_hr.as_ref().map(|weight| weight.of(x)),
        }
    }
}

/// Widths of a layer.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    input: usize,
    hidden: usize,
    projected: Option<usize>,
    bias: bool,
}

/// The parameters of recurrent layers, and how they are put together.
#[derive(Debug)]
struct Layers {
    options: RecurrentOptions,
    sizes: Sizes,
    cells: Vec<CellParams>,
}

impl Layers {
    fn new(options: RecurrentOptions, sizes: Sizes) -> Layers {
        let n_directions = if options.bidirectional { 2 } else { 1 };
        let n_out = sizes.projected.unwrap_or(sizes.hidden) * n_directions;
        let mut cells = Vec::new();
        for layer in 0..options.n_layers {
            for direction in 0..n_directions {
                let n_in = if layer == 0 { sizes.input } else { n_out };
                let suffix = format!("_l{layer}{}", if direction == 1 { "_reverse" } else { "" });
                cells.push(CellParams::new(options.kind, n_in, &sizes, suffix));
            }
        }
        Layers { options, sizes, cells }
    }

    #[track_caller]
    fn run(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
        let Some(first) = self.cells.first() else { return (x.clone(), Vec::new()) };
        let mut finals = Vec::new();
        let result = first.weight_ih.in_layer(x, || {
            let weights: Vec<CellWeights> = self.cells.iter().map(|cell| cell.of(x)).collect();
            let (result, last) = recurrent(&self.options, x, state, &weights);
            finals = last;
            result
        });
        (result, finals)
    }
}

/// A recurrent layer and its cell.
macro_rules! layers {
    ($(#[$doc:meta])* $name:ident, $(#[$cell_doc:meta])* $cell:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Layers);

        impl $name {
            /// One layer from `n_in` to `n_hidden` values, with the sequence along the first axis.
            pub fn new(n_in: usize, n_hidden: usize) -> $name {
                let options = RecurrentOptions {
                    kind: $kind,
                    n_layers: 1,
                    bidirectional: false,
                    batch_first: false,
                    dropout: 0.0,
                };
                $name(Layers::new(options, Sizes { input: n_in, hidden: n_hidden, projected: None, bias: true }))
            }

            fn with(self, change: impl FnOnce(&mut RecurrentOptions, &mut Sizes)) -> $name {
                let (mut options, mut sizes) = (self.0.options, self.0.sizes);
                change(&mut options, &mut sizes);
                $name(Layers::new(options, sizes))
            }

            /// With so many layers, one on the results of the other.
            pub fn layers(self, n_layers: usize) -> $name {
                self.with(|options, _| options.n_layers = n_layers)
            }

            /// With a second one of each layer that runs from the last step to the first; results stand side by side.
            pub fn bidirectional(self) -> $name {
                self.with(|options, _| options.bidirectional = true)
            }

            /// For inputs `[batch, steps, in]`.
            pub fn batch_first(self) -> $name {
                self.with(|options, _| options.batch_first = true)
            }

            /// With dropout between layers.
            pub fn dropout(self, p: f64) -> $name {
                self.with(|options, _| options.dropout = p)
            }

            /// Without biases.
            pub fn without_bias(self) -> $name {
                self.with(|_, sizes| sizes.bias = false)
            }

            /// The results of all steps, and each part of the state after the last step, of all layers and directions;
            /// see [`recurrent`] for shapes. Without a state it begins with zeros.
            #[track_caller]
            pub fn run(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
                self.0.run(x, state)
            }
        }

        impl Module for $name {
            fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
                self.0.cells.iter().for_each(|cell| cell.visit(visitor));
            }
        }

        impl Model for $name {
            /// The results of all steps, beginning with a state of zeros.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                self.run(x, None).0
            }
        }

        $(#[$cell_doc])*
        #[derive(Debug)]
        pub struct $cell {
            kind: CellKind,
            params: CellParams,
        }

        impl $cell {
            /// A cell from `n_in` to `n_hidden` values.
            pub fn new(n_in: usize, n_hidden: usize) -> $cell {
                let sizes = Sizes { input: n_in, hidden: n_hidden, projected: None, bias: true };
                $cell { kind: $kind, params: CellParams::new($kind, n_in, &sizes, String::new()) }
            }

            /// The same without biases.
            pub fn without_bias(self) -> $cell {
                $cell { params: CellParams { biases: None, ..self.params }, ..self }
            }

            /// The state after a step, the output first.
            ///
            /// Shapes: `x: [.., in]`, each part of the state `[.., hidden]`.
            #[track_caller]
            pub fn step(&self, x: &Tensor, state: &[Tensor]) -> Vec<Tensor> {
                let mut next = Vec::new();
                self.params.weight_ih.in_layer(x, || {
                    next = cell(self.kind, x, state, &self.params.of(x));
                    next[0].clone()
                });
                next
            }
        }

        impl Module for $cell {
            fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
                self.params.visit(visitor);
            }
        }
    };
}

layers! {
    /// Elman's recurrent network: `nn.RNN`. Parameters `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and so
    /// on, uniform in `±1 / sqrt(hidden)`; the state has one part. Shapes: see [`recurrent`]; formula and source: at the
    /// beginning of the module, `h' = tanh(W x + b + U h + c)`.
    Rnn,
    /// A step of [`Rnn`]: `nn.RNNCell`. Parameters `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
    RnnCell,
    CellKind::RnnTanh
}

layers! {
    /// Long short-term memory: `nn.LSTM`. Parameters as those of [`Rnn`], four gates each; the state has the parts `h`
    /// and `c`.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// let lstm = Lstm::new(8, 16).layers(2).bidirectional().batch_first();
    /// let names: Vec<String> = kiln::nn::parameters_of(&lstm).into_iter().map(|(name, _)| name).collect();
    /// assert_eq!(names[4], "weight_ih_l0_reverse");
    /// ```
    Lstm,
    /// A step of [`Lstm`]: `nn.LSTMCell`. Parameters as those of [`RnnCell`], four gates each.
    LstmCell,
    CellKind::Lstm
}

layers! {
    /// Gated recurrent units: `nn.GRU`. Parameters as those of [`Rnn`], three gates each; the state has one part.
    Gru,
    /// A step of [`Gru`]: `nn.GRUCell`. Parameters as those of [`RnnCell`], three gates each.
    GruCell,
    CellKind::Gru
}

impl Rnn {
    /// With `relu` in place of `tanh`.
    pub fn relu(self) -> Rnn {
        self.with(|options, _| options.kind = CellKind::RnnRelu)
    }
}

impl RnnCell {
    /// With `relu` in place of `tanh`.
    pub fn relu(self) -> RnnCell {
        RnnCell { kind: CellKind::RnnRelu, ..self }
    }
}

impl Lstm {
    /// With results of `n` values, a projection of the hidden ones: `proj_size`.
    pub fn projected(self, n: usize) -> Lstm {
        self.with(|_, sizes| sizes.projected = Some(n))
    }
}

//! Replaces convolutions by cheaper ones, or by products, where their extents allow it.
//!
//! Along one axis a convolution is `y[p] = sum over i of x[i] * w[d * i + low - p]`, where `d` is the dilation of the input
//! and neither the window nor the kernel is dilated; taps outside of the kernel are zero.
//!
//! - Of an input of one pixel, each result meets one tap, `w[low - p]`: a product over the channels, with the kernel turned
//!   around. Generators of images begin with it. As a convolution it would multiply with padding most of the time.
//! - Where the window covers the whole input and does not move, there is one result: a product over channels and positions.
//! - Where the input is dilated and the kernel is larger than the result, the roles are exchanged: with `p` counted from the
//!   end it is a convolution of `w` with `x` as a kernel that is dilated. It has no zeros in between, and needs not be split
//!   into phases of few results. The gradients of the weights of transposed convolutions are of this form.
//!
//! Promises: idempotent; leaves groups alone. It must come before `split_dilation`. Cost: O(nodes).

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{Conv, Dot, Slice};
use kiln_ir::{Axes, Graph, NodeId, Op, Shape};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct ArrangeConvs;

impl Pass for ArrangeConvs {
    fn name(&self) -> &'static str {
        "arrange_convs"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut n_arranged = 0;
        for id in graph.topological_order() {
            let Some((form, layer)) = Layer::of(graph, id).and_then(|layer| Some((layer.form()?, layer)))
            else {
                continue;
            };
            if !budget.take(form.name()) {
                break;
            }
            let arranged = analysis::emit_replacement(graph, id, |graph| Some(layer.emit(graph, form)));
            graph.replace_uses(id, arranged.expect("a result was emitted"));
            n_arranged += 1;
        }
        if n_arranged > 0 {
            analysis::remove_unreachable(graph);
        }
        Changed::if_any(n_arranged)
    }
}

/// What a convolution becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A product with the kernel turned around.
    OnePixel,
    /// A product over channels and positions.
    OneResult,
    /// A convolution of the kernel with the input.
    Exchanged,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::OnePixel => "one_pixel",
            Form::OneResult => "one_result",
            Form::Exchanged => "exchange",
        }
    }
}

/// A convolution without groups, whose window moves by single elements of a kernel that is not dilated.
struct Layer {
    conv: Conv,
    x: NodeId,
    kernel: NodeId,
    input: Shape,
    taps: Shape,
    result: Shape,
}

impl Layer {
    fn of(graph: &Graph, id: NodeId) -> Option<Layer> {
        let Op::Conv(conv) = graph.op(id) else { return None };
        let [x, kernel] = graph.operands(id).try_into().expect("a convolution has two operands");
        let (input, taps, result) = (graph.shape(x), graph.shape(kernel), graph.shape(id));
        let is_empty = [&input, &taps, &result].iter().any(|shape| shape.contains(&0));
        let is_plain = conv.groups == 1
            && (0..conv.n_spatial()).all(|axis| {
                let (taps, places) = (taps[axis + 2], result[axis + 2]);
                (conv.strides[axis] == 1 || places == 1) && (conv.rhs_dilation[axis] == 1 || taps == 1)
            });
        (!is_empty && is_plain).then(|| Layer { conv: conv.clone(), x, kernel, input, taps, result })
    }

    fn form(&self) -> Option<Form> {
        // Extents of the input, the kernel and the result, and the padding before the input.
        let axes = || {
            (0..self.conv.n_spatial()).map(|axis| {
                let extents = [&self.input, &self.taps, &self.result].map(|shape| shape[axis + 2] as i64);
                (extents, self.conv.padding[axis].0, self.conv.lhs_dilation[axis])
            })
        };
        let volume = |shape: &Shape| shape[2..].iter().product::<usize>();
        if axes().all(|([input, taps, places], low, _)| input == 1 && (places - 1..taps).contains(&low)) {
            Some(Form::OnePixel)
        } else if axes().all(|([input, taps, places], low, dilation)| {
            input == taps && places == 1 && low == 0 && (dilation == 1 || input == 1)
        }) {
            Some(Form::OneResult)
        } else if axes().any(|([input, ..], _, dilation)| dilation > 1 && input > 1)
            && volume(&self.result) < volume(&self.taps)
        {
            Some(Form::Exchanged)
        } else {
            None
        }
    }

    fn emit(&self, graph: &mut Graph, form: Form) -> NodeId {
        match form {
            Form::OnePixel => self.one_pixel(graph),
            Form::OneResult => self.one_result(graph),
            Form::Exchanged => self.exchanged(graph),
        }
    }

    /// The spatial axes of the result along which it can be turned around.
    fn turned(&self) -> Axes {
        (2..self.result.rank()).filter(|&axis| self.result[axis] > 1).collect()
    }

    fn one_pixel(&self, graph: &mut Graph) -> NodeId {
        let mut slice = Slice {
            start: Axes::from_elem(0, self.taps.rank()),
            limit: Axes::from_slice(&self.taps),
            step: Axes::from_elem(1, self.taps.rank()),
        };
        for axis in 2..self.taps.rank() {
            let last = self.conv.padding[axis - 2].0 as usize;
            (slice.start[axis], slice.limit[axis]) = (last + 1 - self.result[axis], last + 1);
        }
        let x = graph.reshape(self.x, Shape::new(&self.input[..2]));
        let is_turned = is_turned(graph, self.kernel);
        let mut kernel = self.kernel;
        if *slice.limit != self.taps[..] || slice.start.iter().any(|&start| start > 0) {
            kernel = graph.emit(Op::Slice(slice), &[kernel]);
        }
        let dot = Dot { batch: Default::default(), contract: [(1, 1)].into_iter().collect() };
        // A kernel that was turned around is turned back; the result of any other is.
        if is_turned {
            let kernel = graph.reverse(kernel, &self.turned());
            graph.emit(Op::Dot(dot), &[x, kernel])
        } else {
            let product = graph.emit(Op::Dot(dot), &[x, kernel]);
            graph.reverse(product, &self.turned())
        }
    }

    fn one_result(&self, graph: &mut Graph) -> NodeId {
        let contract = (1..self.input.rank()).map(|axis| (axis, axis)).collect();
        let product =
            graph.emit(Op::Dot(Dot { batch: Default::default(), contract }), &[self.x, self.kernel]);
        graph.reshape(product, self.result.clone())
    }

    fn exchanged(&self, graph: &mut Graph) -> NodeId {
        let padding = (0..self.conv.n_spatial()).map(|axis| {
            let [input, taps, places] =
                [&self.input, &self.taps, &self.result].map(|shape| shape[axis + 2] as i64);
            let low = places - 1 - self.conv.padding[axis].0;
            let reach = self.conv.lhs_dilation[axis] as i64 * (input - 1);
            (low, places - taps - low + reach)
        });
        let conv = Conv {
            padding: padding.collect(),
            rhs_dilation: self.conv.lhs_dilation.clone(),
            ..Conv::plain(self.conv.n_spatial())
        };
        let exchanged = graph.emit(Op::Conv(conv), &[self.kernel, self.x]);
        let order: Axes = [1, 0].into_iter().chain(2..self.result.rank()).collect();
        let permuted = graph.permute(exchanged, &order);
        graph.reverse(permuted, &self.turned())
    }
}

/// Whether a value is another turned around, with its axes in any order.
fn is_turned(graph: &Graph, value: NodeId) -> bool {
    match graph.op(value) {
        Op::Reverse(_) => true,
        Op::Permute(_) => is_turned(graph, graph.operands(value)[0]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;
    use kiln_ir::{random_data, verify};

    #[test]
    fn one_pixel_is_a_product() {
        assert_snapshot!(check(
            &ArrangeConvs,
            "
            graph f(%x: f32[2, 3, 1], %kernel: f32[5, 3, 4]) {
                %y: f32[2, 5, 4] = conv %x, %kernel { padding = [3:3] }
                return %y
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 1], %kernel: f32[5, 3, 4]) {
        -     %y: f32[2, 5, 4] = conv %x, %kernel { padding = [3:3] }
        +     %reshape: f32[2, 3] = reshape %x
        +     %dot: f32[2, 5, 4] = dot %reshape, %kernel { contract = [1:1] }
        +     %y: f32[2, 5, 4] = reverse %dot { axes = [2] }
              return %y
          }
        ");
    }

    #[test]
    fn a_window_as_large_as_the_input_is_a_product() {
        assert_snapshot!(check(
            &ArrangeConvs,
            "
            graph f(%x: f32[2, 3, 4], %kernel: f32[5, 3, 4]) {
                %y: f32[2, 5, 1] = conv %x, %kernel
                return %y
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 4], %kernel: f32[5, 3, 4]) {
        -     %y: f32[2, 5, 1] = conv %x, %kernel
        +     %dot: f32[2, 5] = dot %x, %kernel { contract = [1:1, 2:2] }
        +     %y: f32[2, 5, 1] = reshape %dot
              return %y
          }
        ");
    }

    #[test]
    fn large_kernels_of_dilated_inputs_change_places() {
        assert_snapshot!(check(
            &ArrangeConvs,
            "
            graph f(%x: f32[2, 3, 8], %kernel: f32[5, 3, 16]) {
                %y: f32[2, 5, 4] = conv %x, %kernel { padding = [2:2], lhs_dilation = [2] }
                return %y
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 8], %kernel: f32[5, 3, 16]) {
        -     %y: f32[2, 5, 4] = conv %x, %kernel { padding = [2:2], lhs_dilation = [2] }
        +     %conv: f32[5, 2, 4] = conv %kernel, %x { padding = [1:1], rhs_dilation = [2] }
        +     %permute: f32[2, 5, 4] = permute %conv { permutation = [1, 0, 2] }
        +     %y: f32[2, 5, 4] = reverse %permute { axes = [2] }
              return %y
          }
        ");
    }

    #[test]
    fn others_stay() {
        assert_snapshot!(check(
            &ArrangeConvs,
            "
            graph f(%x: f32[2, 3, 8], %kernel: f32[5, 3, 4], %pixel: f32[2, 3, 1], %half: f32[6, 1, 8]) {
                %a: f32[2, 5, 16] = conv %x, %kernel { padding = [2:2], lhs_dilation = [2] }
                %b: f32[2, 5, 5] = conv %pixel, %kernel { padding = [4:3] }
                %c: f32[2, 6, 1] = conv %x, %half { groups = 3 }
                return %a, %b, %c
            }
        "
        ), @"unchanged");
    }

    /// Extents, padding and dilation of one axis, beside one that allows the same or does not.
    #[test]
    fn results_are_the_same() {
        let mut n_arranged = [0; 3];
        for (input, taps, s, low, high) in combinations() {
            let places = s * (input - 1) + 1 + low + high - taps + 1;
            if places <= 0 {
                continue;
            }
            for (beside, kernel, pad) in [(1, 3, 2), (3, 3, 0), (2, 5, 3)] {
                let beside_places = beside + 2 * pad - kernel + 1;
                let text = format!(
                    "graph f(%x: f64[2, 4, {input}, {beside}], %kernel: f64[6, 4, {taps}, {kernel}]) {{
                        %y: f64[2, 6, {places}, {beside_places}] = conv %x, %kernel {{ padding = [{low}:{high}, {pad}:{pad}], lhs_dilation = [{s}, 1] }}
                        return %y
                    }}"
                );
                let graph = kiln_ir::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
                let inputs: Vec<_> =
                    graph.inputs().iter().map(|&x| random_data(graph.node(x).ty(), 1, -1.0..1.0)).collect();
                let mut arranged = graph.clone();
                let form = graph.topological_order().into_iter().find_map(|id| Layer::of(&graph, id)?.form());
                let changed = ArrangeConvs.run(&mut arranged, &mut Rewrites::unlimited());
                assert_eq!(changed, Changed::if_any(usize::from(form.is_some())), "{text}");
                verify(&arranged).expect("a valid graph");
                if let Some(form) = form {
                    n_arranged[form as usize] += 1;
                }
                let [expected, found] = [&graph, &arranged]
                    .map(|graph| kiln_ir::interpret(graph, &inputs).expect("it runs").remove(0).to_f64_vec());
                // The sums are of the same products, in another order at most.
                let error = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f64::max);
                assert!(error < 1e-12, "{error}\n{text}");
            }
        }
        assert!(n_arranged.iter().all(|&n| n >= 5), "{n_arranged:?}");
    }

    fn combinations() -> impl Iterator<Item = (i64, i64, i64, i64, i64)> {
        let pads = || [(0, 0), (1, 1), (2, 0), (-1, 2), (3, -2), (2, 2)];
        [1, 2, 5].into_iter().flat_map(move |input| {
            [1, 2, 3, 5, 9].into_iter().flat_map(move |taps| {
                [1, 2, 3]
                    .into_iter()
                    .flat_map(move |s| pads().map(move |(low, high)| (input, taps, s, low, high)))
            })
        })
    }
}

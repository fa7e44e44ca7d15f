//! Splits convolutions of inputs with zeros in between into convolutions without.
//!
//! An input dilated by `s` has `s - 1` zeros between its elements: the gradient of a convolution with strides, and the
//! transposed convolution, are of this form. A result at place `o` meets only the taps `k` of the kernel with
//! `o + k - low = 0 (mod s)`. So the results fall into `s` phases along each such axis, `o mod s`, and each of them is a
//! convolution of the input as it is with every `s`-th tap. Together they multiply `1 / s` of what the dilated one does
//! along each axis. The results of the phases are interleaved: concatenated along new axes, which are then merged.
//!
//! Promises: idempotent; leaves axes with strides or dilated kernels alone. Cost: O(nodes), and a convolution for each
//! combination of phases.

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{Conv, Slice};
use kiln_ir::{Axes, Graph, Literal, NodeId, Op, Shape};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct SplitDilation;

/// Phases of one convolution beyond which it is left alone: its code would grow more than its work shrinks.
pub const MAX_PHASES: usize = 64;

impl Pass for SplitDilation {
    fn name(&self) -> &'static str {
        "split_dilation"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut n_split = 0;
        for id in graph.topological_order() {
            let Some(conv) = dilated(graph, id) else { continue };
            if !budget.take("split") {
                break;
            }
            let split = analysis::emit_replacement(graph, id, |graph| Some(emit(graph, id, &conv)));
            graph.replace_uses(id, split.expect("a convolution was emitted"));
            n_split += 1;
        }
        if n_split > 0 {
            analysis::remove_unreachable(graph);
        }
        Changed::if_any(n_split)
    }
}

/// The convolution at a node, if it has axes to split.
fn dilated(graph: &Graph, id: NodeId) -> Option<Conv> {
    let Op::Conv(conv) = graph.op(id) else { return None };
    let n_phases: usize = (0..conv.strides.len()).map(|axis| n_phases(conv, axis)).product();
    let is_empty = graph.operands(id).iter().chain([&id]).any(|&x| graph.node(x).ty().n_elements() == 0);
    ((2..=MAX_PHASES).contains(&n_phases) && !is_empty).then(|| conv.clone())
}

/// Into how many phases an axis is split: one if it stays as it is.
fn n_phases(conv: &Conv, axis: usize) -> usize {
    let is_plain = conv.strides[axis] == 1 && conv.rhs_dilation[axis] == 1;
    if is_plain { conv.lhs_dilation[axis] } else { 1 }
}

/// A convolution that is being split.
struct Split<'a> {
    conv: &'a Conv,
    x: NodeId,
    kernel: NodeId,
    /// The result's shape.
    shape: Shape,
}

fn emit(graph: &mut Graph, id: NodeId, conv: &Conv) -> NodeId {
    let [x, kernel] = graph.operands(id).try_into().expect("a convolution has two operands");
    let split = Split { conv, x, kernel, shape: graph.shape(id) };
    let mut phases = Axes::new();
    let joined = split.join(graph, &mut phases);
    // The last place of a phase may lie behind the end of the result.
    let whole = graph.shape(joined);
    if whole == split.shape {
        return joined;
    }
    let slice = Slice {
        start: Axes::from_elem(0, whole.rank()),
        limit: Axes::from_slice(&split.shape),
        step: Axes::from_elem(1, whole.rank()),
    };
    graph.emit(Op::Slice(slice), &[joined])
}

impl Split<'_> {
    /// The results of all phases of the axes from `phases.len()` on, at these phases of the axes before, interleaved.
    fn join(&self, graph: &mut Graph, phases: &mut Axes) -> NodeId {
        let axis = phases.len();
        if axis == self.conv.strides.len() {
            return self.phase(graph, phases);
        }
        let n_phases = n_phases(self.conv, axis);
        let mut of_phases = Vec::new();
        for phase in 0..n_phases {
            phases.push(phase);
            of_phases.push(self.join(graph, phases));
            phases.pop();
        }
        if n_phases == 1 {
            return of_phases[0];
        }
        let merged = graph.shape(of_phases[0]);
        let merged = merged.with_extent(axis + 2, n_phases * merged[axis + 2]);
        let of_one: Shape = {
            let shape = graph.shape(of_phases[0]);
            shape[..axis + 3].iter().copied().chain([1]).chain(shape[axis + 3..].iter().copied()).collect()
        };
        let parts: Vec<NodeId> = of_phases.iter().map(|&part| graph.reshape(part, of_one.clone())).collect();
        let together = graph.emit(Op::Concatenate(axis + 3), &parts);
        graph.reshape(together, merged)
    }

    /// The results at one phase of each axis.
    fn phase(&self, graph: &mut Graph, phases: &[usize]) -> NodeId {
        let (input, taps) = (graph.shape(self.x), graph.shape(self.kernel));
        let rank = input.rank();
        let mut slice = Slice {
            start: Axes::from_elem(0, rank),
            limit: Axes::from_slice(&taps),
            step: Axes::from_elem(1, rank),
        };
        let mut conv = self.conv.clone();
        let mut shape = self.shape.clone();
        let mut has_taps = true;
        for (axis, &phase) in phases.iter().enumerate() {
            let s = n_phases(self.conv, axis);
            if s == 1 {
                continue;
            }
            let low = self.conv.padding[axis].0;
            let first_tap = (low - phase as i64).rem_euclid(s as i64);
            (slice.start[axis + 2], slice.step[axis + 2]) = (first_tap as usize, s);
            let n_taps = (taps[axis + 2] as i64 - first_tap + s as i64 - 1) / s as i64;
            has_taps &= n_taps > 0;
            let n_places = self.shape[axis + 2].div_ceil(s);
            let low = (low - phase as i64 - first_tap) / s as i64;
            conv.padding[axis] = (low, n_places as i64 - 1 + n_taps - low - input[axis + 2] as i64);
            conv.lhs_dilation[axis] = 1;
            shape = shape.with_extent(axis + 2, n_places);
        }
        if !has_taps {
            let zero = Literal::zero(graph.ty(self.x).dtype);
            return graph.emit(Op::Fill(zero, shape), &[]);
        }
        let kernel = graph.emit(Op::Slice(slice), &[self.kernel]);
        graph.emit(Op::Conv(conv), &[self.x, kernel])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;
    use kiln_ir::{random_data, verify};

    #[test]
    fn each_phase_is_a_convolution() {
        assert_snapshot!(check(
            &SplitDilation,
            "
            graph f(%x: f32[2, 3, 5], %kernel: f32[4, 3, 4]) {
                %y: f32[2, 4, 10] = conv %x, %kernel { padding = [2:2], lhs_dilation = [2] }
                return %y
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 5], %kernel: f32[4, 3, 4]) {
        -     %y: f32[2, 4, 10] = conv %x, %kernel { padding = [2:2], lhs_dilation = [2] }
        +     %slice: f32[4, 3, 2] = slice %kernel { start = [0, 0, 0], limit = [4, 3, 4], step = [1, 1, 2] }
        +     %conv: f32[2, 4, 5] = conv %x, %slice { padding = [1:0] }
        +     %slice.2: f32[4, 3, 2] = slice %kernel { start = [0, 0, 1], limit = [4, 3, 4], step = [1, 1, 2] }
        +     %conv.2: f32[2, 4, 5] = conv %x, %slice.2 { padding = [0:1] }
        +     %reshape: f32[2, 4, 5, 1] = reshape %conv
        +     %reshape.2: f32[2, 4, 5, 1] = reshape %conv.2
        +     %concatenate: f32[2, 4, 5, 2] = concatenate %reshape, %reshape.2 { axis = 3 }
        +     %y: f32[2, 4, 10] = reshape %concatenate
              return %y
          }
        ");
    }

    #[test]
    fn a_phase_without_taps_is_zero() {
        assert_snapshot!(check(
            &SplitDilation,
            "
            graph f(%x: f32[2, 3, 4], %kernel: f32[4, 3, 1]) {
                %y: f32[2, 4, 7] = conv %x, %kernel { lhs_dilation = [2] }
                return %y
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 4], %kernel: f32[4, 3, 1]) {
        -     %y: f32[2, 4, 7] = conv %x, %kernel { lhs_dilation = [2] }
        +     %slice: f32[4, 3, 1] = slice %kernel { start = [0, 0, 0], limit = [4, 3, 1], step = [1, 1, 2] }
        +     %conv: f32[2, 4, 4] = conv %x, %slice
        +     %fill: f32[2, 4, 4] = fill { value = 0.0 }
        +     %reshape: f32[2, 4, 4, 1] = reshape %conv
        +     %reshape.2: f32[2, 4, 4, 1] = reshape %fill
        +     %concatenate: f32[2, 4, 4, 2] = concatenate %reshape, %reshape.2 { axis = 3 }
        +     %reshape.3: f32[2, 4, 8] = reshape %concatenate
        +     %y: f32[2, 4, 7] = slice %reshape.3 { start = [0, 0, 0], limit = [2, 4, 7] }
              return %y
          }
        ");
    }

    #[test]
    fn strides_and_dilated_kernels_stay() {
        assert_snapshot!(check(
            &SplitDilation,
            "
            graph f(%x: f32[2, 3, 8], %kernel: f32[4, 3, 3]) {
                %a: f32[2, 4, 3] = conv %x, %kernel { strides = [2] }
                %b: f32[2, 4, 7] = conv %x, %kernel { strides = [2], lhs_dilation = [2] }
                %c: f32[2, 4, 4] = conv %x, %kernel { rhs_dilation = [2] }
                return %a, %b, %c
            }
        "
        ), @"unchanged");
    }

    /// Every combination of extent, taps, dilation and padding of one axis, beside one that is split in two.
    #[test]
    fn results_are_the_same() {
        let mut n_split = 0;
        for (extent, taps, s, low, high) in combinations() {
            let places = s * (extent - 1) + 1 + low + high - taps + 1;
            if places <= 0 {
                continue;
            }
            let text = format!(
                "graph f(%x: f64[2, 4, {extent}, 3], %kernel: f64[6, 2, {taps}, 3]) {{
                    %y: f64[2, 6, {places}, 5] = conv %x, %kernel {{ padding = [{low}:{high}, 1:1], lhs_dilation = [{s}, 2], groups = 2 }}
                    return %y
                }}"
            );
            let graph = kiln_ir::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let inputs: Vec<_> =
                graph.inputs().iter().map(|&x| random_data(graph.node(x).ty(), 1, -1.0..1.0)).collect();
            let mut split = graph.clone();
            n_split += usize::from(SplitDilation.run(&mut split, &mut Rewrites::unlimited()) == Changed::Yes);
            verify(&split).expect("a valid graph");
            let [expected, found] = [&graph, &split]
                .map(|graph| kiln_ir::interpret(graph, &inputs).expect("it runs").remove(0).to_f64_vec());
            // The sums are of the same products, in another order at most.
            let error = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f64::max);
            assert!(error < 1e-12, "{error}\n{text}");
        }
        assert!(n_split > 100);
    }

    fn combinations() -> impl Iterator<Item = (i64, i64, i64, i64, i64)> {
        let pads = || [(0, 0), (1, 1), (2, 0), (-1, 2), (3, -2)];
        [1, 2, 5].into_iter().flat_map(move |extent| {
            [1, 2, 3, 5].into_iter().flat_map(move |taps| {
                [1, 2, 3]
                    .into_iter()
                    .flat_map(move |s| pads().map(move |(low, high)| (extent, taps, s, low, high)))
            })
        })
    }
}

//! How passes are tested: text in, difference out.

use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::{
    DType, Graph, Literal, TensorData, TensorType, Tolerance, compare, interpret, parse, random_data, verify,
};
use std::fmt::Write;

/// Runs a pass on a graph in text form and returns what it changed, line by line.
///
/// # Panics
/// When the text is no graph, or the pass breaks a promise: see [`check_graph`].
pub fn check(pass: &dyn Pass, text: &str) -> String {
    let before = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let after = check_graph(pass, &before);
    diff(&before.to_string(), &after.to_string())
}

/// Runs a pass and holds it to what every pass promises. Returns the result.
///
/// # Panics
/// When the graph is not valid, or a promise is broken: see [`kept_promises`].
pub fn check_graph(pass: &dyn Pass, before: &Graph) -> Graph {
    kept_promises(pass, before).unwrap_or_else(|problem| panic!("{problem}"))
}

/// Runs a pass on a graph. What it promises: the result is a valid graph, it computes the same, "unchanged" is true,
/// and a second run says and does nothing. Returns the result, or the promise that was broken, with the graph as text.
pub fn kept_promises(pass: &dyn Pass, before: &Graph) -> Result<Graph, String> {
    let name = pass.name();
    verify(before).map_err(|error| error.to_string())?;
    let mut after = before.clone();
    let changed = pass.run(&mut after, &mut Rewrites::unlimited());
    verify(&after).map_err(|error| format!("`{name}` broke the graph: {error}\nbefore:\n{before}"))?;
    if (changed == Changed::No) != before.same_as(&after) {
        return Err(format!("`{name}` says {changed:?} of\n{before}\n{after}"));
    }
    same_results(before, &after).map_err(|difference| {
        format!("`{name}` changed what a graph computes\n{difference}\nbefore:\n{before}after:\n{after}")
    })?;
    let once = after.clone();
    let again = pass.run(&mut after, &mut Rewrites::unlimited());
    if again == Changed::Yes || !once.same_as(&after) {
        let difference = diff(&once.to_string(), &after.to_string());
        return Err(format!("`{name}` is not done after one run:\n{difference}"));
    }
    Ok(once)
}

/// The lines of two texts: `- ` before those that went, `+ ` before those that came; `unchanged` when there are none.
pub fn diff(before: &str, after: &str) -> String {
    if before == after {
        return "unchanged\n".to_string();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // common[i][j]: length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        writeln!(text, "{mark} {line}").expect("writing to a string cannot fail");
    }
    text
}

/// Whether two graphs of one signature compute the same on a few random inputs, some of them with NaN, infinities and
/// zeros of both signs. Floats may differ by the rounding of sums in another order: 64 times the type's precision,
/// relative to the largest value in the tensor.
pub fn same_results(before: &Graph, after: &Graph) -> Result<(), String> {
    for seed in 0..6 {
        let values = if seed < 3 { Values::Plain } else { Values::Special };
        let inputs = random_inputs(before, values, seed);
        let [old, new] = [before, after].map(|graph| interpret(graph, &inputs));
        let (old, new) = (old.map_err(|e| e.to_string())?, new.map_err(|e| e.to_string())?);
        if old.len() != new.len() {
            return Err(format!("{} outputs became {}", old.len(), new.len()));
        }
        for (position, (old, new)) in old.iter().zip(&new).enumerate() {
            if let Err(difference) = compare(new, old, tolerance(old)) {
                return Err(format!(
                    "output {position} on {inputs:?}: {difference}\n  was {old:?}\n  is  {new:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Which values random inputs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Floats in -2..4, small integers.
    Plain,
    /// One in three floats is NaN, infinite or a zero.
    Special,
}

/// A value for each input of a graph, the same for the same seed.
pub fn random_inputs(graph: &Graph, values: Values, seed: u64) -> Vec<TensorData> {
    let inputs = graph.inputs().iter().zip(1000 * seed..);
    inputs.map(|(&input, seed)| random_input(graph.node(input).ty(), values, seed)).collect()
}

fn random_input(ty: &TensorType, values: Values, seed: u64) -> TensorData {
    const SPECIAL: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0];
    let mut data = random_data(ty, seed, -2.0..4.0);
    if values == Values::Special && ty.dtype.is_float() {
        let choice = random_data(&ty.with_dtype(DType::I64), seed + 500, 0.0..18.0);
        for (i, choice) in choice.to_f64_vec().into_iter().enumerate() {
            if let Some(&special) = SPECIAL.get(choice as usize) {
                data.set(i, Literal::from_f64(ty.dtype, special));
            }
        }
    }
    data
}

/// What may differ between two results that should be `expected`.
fn tolerance(expected: &TensorData) -> Tolerance {
    let epsilon = match expected.dtype() {
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => return Tolerance::EXACT,
    };
    let values = expected.to_f64_vec();
    let largest =
        values.into_iter().filter(|x| x.is_finite()).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    Tolerance { relative: 0.0, absolute: 64.0 * epsilon * largest, ulps: 0 }
}

/// Replaces sums by differences: a wrong pass, for tests of what finds such.
#[cfg(test)]
pub(crate) struct AddToSub;

#[cfg(test)]
impl Pass for AddToSub {
    fn name(&self) -> &'static str {
        "add_to_sub"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        use kiln_ir::op::{BinaryOp, Op};
        let is_add = |graph: &Graph, id| *graph.op(id) == Op::Binary(BinaryOp::Add);
        let ids: Vec<_> = graph.ids().filter(|&id| is_add(graph, id)).collect();
        let mut n = 0;
        for id in ids {
            if budget.take("add_to_sub") {
                let operands = graph.operands(id).to_vec();
                let wrong = graph
                    .add(Op::Binary(BinaryOp::Sub), &operands)
                    .expect("sums and differences are typed alike");
                graph.replace_uses(id, wrong);
                n += 1;
            }
        }
        if n > 0 {
            crate::analysis::remove_unreachable(graph);
        }
        Changed::if_any(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ArrangeDots, EliminateCommon, EliminateDead, FoldConstants, Options, Pipeline, Simplify, SplitReduce,
    };
    use kiln_ir::random_graph::{RandomConfig, choices, random_graph};
    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

    /// Steps of shrinking: enough for graphs of this size to become as small as they can.
    const MAX_SHRINK: u32 = 1 << 14;

    /// The choices that make a random graph: shrinking them shrinks the graph.
    fn words() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec(any::<u32>(), 0..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: MAX_SHRINK, ..ProptestConfig::default() })]

        #[test]
        fn passes_keep_their_promises_on_random_graphs(words in words()) {
            let graph = random_graph(&RandomConfig::default(), &mut choices(&words));
            let passes: [&dyn Pass; 6] =
                [&Simplify, &FoldConstants, &EliminateCommon, &EliminateDead, &SplitReduce, &ArrangeDots];
            for pass in passes {
                kept_promises(pass, &graph).map_err(TestCaseError::fail)?;
            }
        }

        #[test]
        fn the_pipeline_keeps_what_random_graphs_compute(words in words()) {
            let before = random_graph(&RandomConfig::default(), &mut choices(&words));
            let mut after = before.clone();
            Pipeline::standard().run(&mut after, &Options { check: true, ..Options::default() });
            let shown = |difference| TestCaseError::fail(format!("{difference}\nbefore:\n{before}after:\n{after}"));
            same_results(&before, &after).map_err(shown)?;
        }
    }

    /// What the tests above do when a pass is wrong: the case shrinks to the ops that it takes, and is printed as text.
    #[test]
    fn a_wrong_pass_is_shown_by_a_small_graph() {
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let config = ProptestConfig {
            failure_persistence: None,
            max_shrink_iters: MAX_SHRINK,
            ..ProptestConfig::default()
        };
        let mut runner = TestRunner::new_with_rng(config, random);
        let graph = |words: &[u32]| random_graph(&RandomConfig::default(), &mut choices(words));
        let found = runner.run(&words(), |words| {
            kept_promises(&AddToSub, &graph(&words)).map(|_| ()).map_err(TestCaseError::fail)
        });
        let Err(TestError::Fail(reason, words)) = found else {
            panic!("a wrong pass was not found: {found:?}")
        };
        let smallest = graph(&words).to_string();
        assert!(reason.message().contains(&format!("before:\n{smallest}")), "{reason}");
        // The generator makes 20 ops and more. Which of the smallest graphs is found depends on how it reads its choices:
        // it may keep an op before and one behind the sum, with the ops that lead into their domains.
        assert!(smallest.contains(" = add ") && smallest.lines().count() <= 10, "{smallest}");
    }

    #[test]
    fn differences_are_the_fewest_lines() {
        assert_eq!(diff("a\nb\nc\n", "a\nc\nd\n"), "  a\n- b\n  c\n+ d\n");
        assert_eq!(diff("a\n", "a\n"), "unchanged\n");
    }
}

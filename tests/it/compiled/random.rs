//! Random graphs. A failing case shrinks; its graph is printed as text and its words, which make it again, as `words`.
//! `PROPTEST_CASES` sets how many are tried.

use super::{check, near_interpreted, options, run, same_on_all_teams};
use kiln::compile::CompileOptions;
use kiln_ir::random_graph::{RandomConfig, choices, random_graph, random_inputs};
use kiln_ir::{Graph, TensorData, interpret, parse};
use kiln_passes::pipeline::{self, Pipeline, PrintAfter};
use proptest::prelude::*;

/// Few enough for every run of the tests; thousands were tried by hand.
const CASES: u32 = 100;

fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(CASES), max_shrink_iters: 1 << 14, ..ProptestConfig::default() }
}

pub fn long_axes() -> RandomConfig {
    RandomConfig {
        max_steps: 12,
        max_elements: 1 << 14,
        max_products: 1 << 17,
        extents: vec![2, 3, 16, 8, 64, 1, 5, 100, 31, 513, 1030],
        ..RandomConfig::default()
    }
}

fn after_each_pass(graph: &Graph, inputs: &[TensorData]) -> Result<(), String> {
    let expected = interpret(graph, inputs).map_err(|error| error.to_string())?;
    let print = pipeline::Options { print_after: PrintAfter::EveryChange, ..pipeline::Options::default() };
    let report = Pipeline::standard().run(&mut graph.clone(), &print);
    let as_it_is = CompileOptions { optimize: false, ..options(1) };
    for dump in report.dumps {
        let after = parse(&dump.text).map_err(|error| error.to_string())?;
        near_interpreted(&run(&after, inputs, &as_it_is), &expected)
            .map_err(|difference| format!("after `{}`: {difference}\n{after}before:\n{graph}", dump.pass))?;
    }
    Ok(())
}

fn words() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), 0..300)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn compiled_graphs_are_interpreted_graphs(words in words()) {
        let config = RandomConfig::default();
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        check(&graph, &inputs).map_err(TestCaseError::fail)?;
    }

    /// Compiled as it is after each pass that changes it, a graph computes what the traced one does.
    #[test]
    fn compiled_graphs_are_interpreted_graphs_after_each_pass(words in words()) {
        let config = RandomConfig::default();
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        after_each_pass(&graph, &inputs).map_err(TestCaseError::fail)?;
    }

    /// Axes as long as several vectors or more than a block, products for the tiles.
    #[test]
    fn compiled_graphs_of_long_axes_are_interpreted_graphs(words in words()) {
        let config = long_axes();
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        check(&graph, &inputs).map_err(TestCaseError::fail)?;
    }

    /// With infinities, NaN and ops that jump, rounding may change everything: only the bits must not depend on the
    /// number of threads.
    #[test]
    fn wild_graphs_have_the_same_bits_on_all_teams(words in words()) {
        let config = RandomConfig { smooth: false, finite: false, ..RandomConfig::default() };
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        same_on_all_teams(&graph, &inputs).map_err(TestCaseError::fail)?;
    }
}

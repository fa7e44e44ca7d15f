//! Values that no gradient reaches, with the ops that cut their paths.

use kiln_ir::{Graph, NodeId, parse};
use kiln_passes::gradient::{GradientError, gradient, gradient_or_zero, scalar_gradient};

/// The graph and its only output.
fn graph(text: &str) -> (Graph, NodeId) {
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let of = graph.outputs()[0].value;
    (graph, of)
}

/// The cuts of each unreached input: its position, then op and reason.
fn cuts(text: &str) -> Vec<(usize, Vec<(&'static str, &'static str)>)> {
    let (mut graph, of) = graph(text);
    let inputs = graph.inputs().to_vec();
    match gradient(&mut graph, of, &inputs) {
        Ok(_) => Vec::new(),
        Err(GradientError::NotAScalar { .. }) => panic!("the output is a scalar"),
        Err(GradientError::NotReached(unreached)) => unreached
            .iter()
            .map(|u| {
                let position = inputs.iter().position(|&input| input == u.value).expect("an input");
                (position, u.cuts.iter().map(|cut| (cut.op, cut.reason)).collect())
            })
            .collect(),
    }
}

const CUT: &str = "graph g(%w: f32[3], %v: f32[3], %unused: f32[3], %s: f32[3], %dead: f32[3]) {
    %e: f32[3] = exp %w
    %f: f32[3] = floor %e
    %c: bool[3] = gt %w, %v
    %a: f32[3] = select %c, %s, %f
    %d: f32[3] = exp %dead
    %loss: f32[] = reduce_sum %a { axes = [0] }
    return %loss
}
";

#[test]
fn each_cut_is_named_with_its_reason() {
    let found = cuts(CUT);
    let stepped = "it is constant between its jumps, so its derivative is zero";
    let compared = "a comparison gives a truth value, which jumps and is constant elsewhere";
    assert_eq!(
        found,
        [
            (0, vec![("floor", stepped), ("gt", compared)]),
            (1, vec![("gt", compared)]),
            (2, vec![]),
            (4, vec![]),
        ]
    );
}

#[test]
fn an_integer_value_on_the_way_is_named() {
    let found = cuts(
        "graph g(%x: f32[3], %i: i64[3]) {
            %n: i64[3] = cast %x
            %sum: i64[3] = add %n, %i
            %back: f32[3] = cast %sum
            %loss: f32[] = reduce_sum %back { axes = [0] }
            return %loss
        }
        ",
    );
    let words: Vec<&str> = found.iter().map(|(_, cuts)| cuts[0].0).collect();
    assert_eq!(words, ["cast", "add"]);
}

#[test]
fn zeros_can_be_had_instead() {
    let (mut graph, of) = graph(CUT);
    let inputs = graph.inputs().to_vec();
    let gradients = gradient_or_zero(&mut graph, of, &inputs).expect("a scalar");
    for (gradient, input) in gradients.iter().zip(&inputs) {
        assert_eq!(graph.node(*gradient).ty(), graph.node(*input).ty());
    }
    assert_eq!(graph.op(gradients[0]).name(), "fill");
    assert_eq!(graph.op(gradients[3]).name(), "select");
}

#[test]
fn nothing_is_emitted_for_paths_that_are_cut() {
    let (mut graph, of) = graph(CUT);
    let (before, w) = (graph.n_nodes(), graph.inputs()[0]);
    let error = gradient(&mut graph, of, &[w]).expect_err("`floor` cuts the path");
    // The cotangent, and no more.
    assert_eq!(graph.n_nodes(), before + 1);
    let text = error.to_string();
    assert!(text.contains("`floor`") && text.contains("cuts the path"), "{text}");
}

#[test]
fn only_a_float_scalar_is_differentiated() {
    let (mut graph, of) = graph("graph g(%x: f32[3]) {\n    return %x\n}\n");
    let error = gradient(&mut graph, of, &[of]).expect_err("a vector");
    assert!(matches!(error, GradientError::NotAScalar { .. }), "{error}");
}

#[test]
fn a_detached_node_is_as_an_input() {
    let text = "graph g(%x: f32[]) {
            %a: f32[] = exp %x
            %b: f32[] = mul %a, %x
            return %b
        }
        ";
    let (mut graph, of) = graph(text);
    let (x, a) = (graph.inputs()[0], graph.operands(of)[0]);
    graph.node_mut(a).is_detached = true;
    let results = scalar_gradient(&mut graph, of, &[x, a]).expect("a scalar");
    let gradients: Vec<NodeId> = results.into_iter().map(|result| result.expect("reached")).collect();
    // db/dx = a only, without the way through `exp`; db/da = x.
    assert_eq!(graph.op(gradients[0]).name(), "mul");
    assert_eq!(graph.operands(gradients[0])[1], a);
    assert_eq!(graph.operands(gradients[1])[1], x);
}

#[test]
fn the_value_itself_has_gradient_one() {
    let (mut graph, of) = graph("graph g(%x: f32[]) {\n    return %x\n}\n");
    let gradients = gradient(&mut graph, of, &[of]).expect("reached");
    assert_eq!(graph.op(gradients[0]).name(), "fill");
}

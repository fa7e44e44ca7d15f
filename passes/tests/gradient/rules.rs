//! What some rules emit, as text: which values they keep, and the forms that need no permutation.

use insta::assert_snapshot;
use kiln_ir::emit::EmitExt;
use kiln_ir::op::UnaryOp;
use kiln_ir::{DType, Graph, Source, TensorType, parse};
use kiln_passes::gradient::{gradient, vector_jacobian};

/// What the derivation adds to the graph, and the gradients, for a cotangent that is its last input.
fn derived(text: &str) -> String {
    let mut graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let (y, mut inputs) = (graph.outputs()[0].value, graph.inputs().to_vec());
    let dy = inputs.pop().expect("a cotangent");
    graph.set_outputs(Vec::new());
    for result in vector_jacobian(&mut graph, &[(y, dy)], &inputs) {
        graph.add_output(result.unwrap_or_else(|unreached| panic!("{unreached}")), None);
    }
    let is_added = |line: &&str| line.contains(".grad") || line.trim_start().starts_with("return");
    let text = graph.to_string();
    text.lines().filter(is_added).map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn a_linear_layer_needs_no_permutation() {
    assert_snapshot!(derived(
        "graph g(%x: f32[2, 3], %w: f32[3, 4], %dy: f32[2, 4]) {
            %fc: f32[2, 4] = dot %x, %w { contract = [1:0] }
            return %fc
        }
        ",
    ), @r"
    %fc.grad: f32[2, 3] = dot %dy, %w { contract = [1:1] }
    %fc.grad.2: f32[3, 4] = dot %x, %dy { contract = [0:0] }
    return %fc.grad, %fc.grad.2
    ");
    // The weight as `[outputs, inputs]`.
    assert_snapshot!(derived(
        "graph g(%x: f32[2, 3], %w: f32[4, 3], %dy: f32[2, 4]) {
            %fc: f32[2, 4] = dot %x, %w { contract = [1:1] }
            return %fc
        }
        ",
    ), @r"
    %fc.grad: f32[2, 3] = dot %dy, %w { contract = [1:0] }
    %fc.grad.2: f32[4, 3] = dot %dy, %x { contract = [0:0] }
    return %fc.grad, %fc.grad.2
    ");
}

#[test]
fn attention_scores_need_no_permutation() {
    assert_snapshot!(derived(
        "graph g(%q: f32[2, 8, 5, 4], %k: f32[2, 8, 6, 4], %dy: f32[2, 8, 5, 6]) {
            %scores: f32[2, 8, 5, 6] = dot %q, %k { batch = [0:0, 1:1], contract = [3:3] }
            return %scores
        }
        ",
    ), @r"
    %scores.grad: f32[2, 8, 5, 4] = dot %dy, %k { batch = [0:0, 1:1], contract = [3:2] }
    %scores.grad.2: f32[2, 8, 6, 4] = dot %dy, %q { batch = [0:0, 1:1], contract = [2:2] }
    return %scores.grad, %scores.grad.2
    ");
}

#[test]
fn a_convolution_gives_two_convolutions() {
    assert_snapshot!(derived(
        "graph g(%x: f32[8, 3, 9, 9], %w: f32[16, 3, 3, 3], %dy: f32[8, 16, 5, 5]) {
            %conv: f32[8, 16, 5, 5] = conv %x, %w { strides = [2, 2], padding = [1:1, 1:1], lhs_dilation = [1, 1], rhs_dilation = [1, 1], groups = 1 }
            return %conv
        }
        ",
    ), @r"
    %conv.grad: f32[3, 16, 3, 3] = permute %w { permutation = [1, 0, 2, 3] }
    %conv.grad.2: f32[3, 16, 3, 3] = reverse %conv.grad { axes = [2, 3] }
    %conv.grad.3: f32[8, 3, 9, 9] = conv %dy, %conv.grad.2 { padding = [1:1, 1:1], lhs_dilation = [2, 2] }
    %conv.grad.4: f32[3, 8, 9, 9] = permute %x { permutation = [1, 0, 2, 3] }
    %conv.grad.5: f32[16, 8, 5, 5] = permute %dy { permutation = [1, 0, 2, 3] }
    %conv.grad.6: f32[3, 16, 3, 3] = conv %conv.grad.4, %conv.grad.5 { padding = [1:1, 1:1], rhs_dilation = [2, 2] }
    %conv.grad.7: f32[16, 3, 3, 3] = permute %conv.grad.6 { permutation = [1, 0, 2, 3] }
    return %conv.grad.3, %conv.grad.7
    ");
}

#[test]
fn slopes_are_taken_from_results() {
    assert_snapshot!(derived(
        "graph g(%x: f32[3], %dy: f32[3]) {
            %t: f32[3] = tanh %x
            %e: f32[3] = exp %t
            %zero: f32[3] = fill { value = 0.0 }
            %c: bool[3] = le %e, %zero
            %relu: f32[3] = select %c, %zero, %e
            return %relu
        }
        ",
    ), @r"
    %relu.grad: bool[3] = le %relu, %zero
    %relu.grad.2: f32[3] = fill { value = 0.0 }
    %relu.grad.3: f32[3] = select %relu.grad, %relu.grad.2, %dy
    %e.grad: f32[3] = mul %relu.grad.3, %e
    %t.grad: f32[3] = mul %t, %t
    %t.grad.2: f32[3] = fill { value = 1.0 }
    %t.grad.3: f32[3] = sub %t.grad.2, %t.grad
    %t.grad.4: f32[3] = mul %e.grad, %t.grad.3
    return %t.grad.4
    ");
}

#[test]
fn pooling_side_by_side_is_repeated() {
    assert_snapshot!(derived(
        "graph g(%x: f32[2, 5, 4], %dy: f32[2, 2, 2]) {
            %pool: f32[2, 2, 2] = window_sum %x { sizes = [2, 2], strides = [2, 2], padding = [0:0, 0:0], dilations = [1, 1] }
            return %pool
        }
        ",
    ), @r"
    %pool.grad: f32[2, 2, 2, 2, 2] = broadcast %dy { axes = [0, 1, 3] }
    %pool.grad.2: f32[2, 4, 4] = reshape %pool.grad
    %pool.grad.3: f32[2, 5, 4] = pad %pool.grad.2 { low = [0, 0, 0], high = [0, 1, 0], value = 0.0 }
    return %pool.grad.3
    ");
}

#[test]
fn contributions_are_added_from_the_last_user_to_the_first() {
    assert_snapshot!(derived(
        "graph g(%x: f32[3], %dy: f32[3]) {
            %a: f32[3] = exp %x
            %b: f32[3] = mul %a, %x
            %c: f32[3] = sub %b, %x
            return %c
        }
        ",
    ), @r"
    %c.grad: f32[3] = neg %dy
    %b.grad: f32[3] = mul %dy, %x
    %b.grad.2: f32[3] = mul %dy, %a
    %a.grad: f32[3] = mul %b.grad, %a
    %x.grad: f32[3] = add %c.grad, %b.grad.2
    %x.grad.2: f32[3] = add %x.grad, %a.grad
    return %x.grad.2
    ");
}

#[test]
fn gradients_keep_the_source_and_leave_no_name_behind() {
    let mut graph = Graph::new("g");
    let x = graph.add_input("x", TensorType::scalar(DType::F32));
    let source = Source::here().in_scope("encoder".into());
    graph.current_source = Some(source.clone());
    let y = graph.unary(UnaryOp::Sin, x);
    graph.current_source = None;
    graph.current_name = Some("loss".into());
    let gradient = gradient(&mut graph, y, &[x]).expect("reached")[0];
    assert_eq!(graph.node(gradient).source, Some(source));
    assert_eq!(graph.node(gradient).name.as_deref(), Some("sin.grad"));
    assert_eq!(graph.current_source, None);
    assert_eq!(graph.current_name.as_deref(), Some("loss"));
}

//! The text form in both directions: round trips, messages, and text that is no graph.

use super::*;
use crate::op::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const EVERY_OP: &str = include_str!("every_op.txt");

/// Text in the printer's own style reads and prints back as it was.
fn check_round_trip(text: &str) -> Graph {
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(graph.to_string(), text);
    let again = parse(&graph.to_string()).unwrap_or_else(|error| panic!("{error}"));
    assert!(again.same_as(&graph));
    graph
}

fn check_error(text: &str, expected: &str) {
    let error = parse(text).expect_err("this text is wrong").to_string();
    assert_eq!(error, expected.strip_prefix('\n').unwrap_or(expected), "\n{error}");
}

#[test]
fn every_op_and_attribute_prints_as_it_was_read() {
    let graph = check_round_trip(EVERY_OP);
    let found: BTreeSet<&str> = graph.ids().map(|id| graph.op(id).name()).collect();
    let mut expected: BTreeSet<&str> = BTreeSet::from([
        "input",
        "fill",
        "dense",
        "iota",
        "select",
        "cast",
        "cumulative_sum",
        "argsort",
        "reshape",
        "permute",
        "broadcast",
        "slice",
        "pad",
        "concatenate",
        "reverse",
        "dot",
        "conv",
        "gather",
        "scatter_add",
        "random_bits",
        "loop",
        "loop_result",
    ]);
    expected.extend(UnaryOp::ALL.map(UnaryOp::name));
    expected.extend(BinaryOp::ALL.map(BinaryOp::name));
    expected.extend(CompareOp::ALL.map(CompareOp::name));
    expected.extend(LogicalOp::ALL.map(LogicalOp::name));
    expected.extend(ReduceOp::ALL.map(ReduceOp::name));
    expected.extend(ArgReduceOp::ALL.map(ArgReduceOp::name));
    expected.extend(WindowOp::ALL.map(WindowOp::name));
    assert_eq!(found, expected);
}

#[test]
fn no_inputs_and_no_outputs() {
    check_round_trip("graph _() {\n    return\n}\n");
}

#[test]
fn layout_and_comments_do_not_matter() {
    let text = "// a model\ngraph f( %x :f32[ 2 ,3 ],\n%y: f32[2,3]){//\n%z:f32[2,3]=add %x, // left\n %y\n
        %s: f32[2] = reduce_sum %z\n {axes=[ 1 ]} return %s,%z=>%x } // end";
    let expected = "graph f(%x: f32[2, 3], %y: f32[2, 3]) {
    %z: f32[2, 3] = add %x, %y
    %s: f32[2] = reduce_sum %z { axes = [1] }
    return %s, %z => %x
}
";
    assert_eq!(parse(text).unwrap().to_string(), expected);
}

#[test]
fn values_written_at_their_defaults_are_read() {
    let text = "graph f(%x: f32[1, 1, 4], %k: f32[1, 1, 2]) {
        %y: f32[1, 1, 3] = conv %x, %k { strides = [1], padding = [0:0], lhs_dilation = [1], groups = 1 }
        %z: f32[1, 1, 3] = cumulative_sum %y { axis = 2, reverse = false }
        return %z
    }";
    let printed = parse(text).unwrap().to_string();
    assert!(printed.contains("= conv %x, %k\n"), "{printed}");
    assert!(printed.contains("= cumulative_sum %y { axis = 2 }\n"), "{printed}");
}

/// Gradients of the graph that was read are those of the graph that was written.
#[test]
fn detached_nodes_are_marked_in_loops_too() {
    let text = "graph f(%h: f32[2], %x: f32[3]) {
    %cut: f32[2] = detached exp %h
    %loop: u8[0] = loop %cut, %x { steps = 3, stacked = 1 } graph step(%h: f32[2], %x: f32[]) {
        %y: f32[2] = detached broadcast %x { axes = [] }
        %z: f32[2] = add %h, %y
        return %z => %h
    }
    %r: f32[2] = detached loop_result %loop { position = 0 }
    return %r
}
";
    let mut graph = check_round_trip(text);
    let marked = parse(text).unwrap();
    assert!(!parse(&text.replace("detached exp", "exp")).unwrap().same_as(&marked));
    assert!(!parse(&text.replace("detached broadcast", "broadcast")).unwrap().same_as(&marked));
    graph.forget_detached();
    assert_eq!(graph.to_string(), text.replace("detached ", ""));
}

#[test]
fn an_unknown_op() {
    check_error(
        "graph f(%x: f32[2]) {\n    %y: f32[2] = relu %x\n    return %y\n}",
        "
line 2, column 18: `relu` is not an op
   |     %y: f32[2] = relu %x
   |                  ^",
    );
}

#[test]
fn a_type_that_is_not_the_inferred_one() {
    check_error(
        "graph f(%x: f32[2, 3]) {\n    %y: f32[3] = reduce_sum %x { axes = [1] }\n    return %y\n}",
        "
line 2, column 9: the result of `reduce_sum` is f32[2], not f32[3]
   |     %y: f32[3] = reduce_sum %x { axes = [1] }
   |         ^",
    );
}

#[test]
fn operands_that_do_not_suit_the_op() {
    check_error(
        "graph f(%x: f32[2], %y: f32[3]) {\n\t%z: f32[3] = add %x, %y\n    return %z\n}",
        "
line 2, column 15: operands of `add` have different shapes: f32[2] and f32[3]
   | \t%z: f32[3] = add %x, %y
   | \t             ^",
    );
}

#[test]
fn a_value_used_before_its_definition() {
    check_error(
        "graph f(%x: f32[2]) {\n    %y: f32[2] = add %x, %z\n    return %y\n}",
        "
line 2, column 27: `%z` is not defined before this line
   |     %y: f32[2] = add %x, %z
   |                           ^",
    );
}

#[test]
fn the_place_in_a_long_line_is_shown() {
    let zeros = "0.0, ".repeat(100);
    check_error(
        &format!("graph f() {{\n    %y: f32[101] = dense {{ data = [{zeros}zero] }}\n    return %y\n}}"),
        "
line 2, column 536: `zero` is not a value of type f32
   | .0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, zero] }
   |                                                            ^",
    );
}

/// One mistake each, with the words that the message must hold.
#[test]
fn mistakes_are_named() {
    let cases = [
        ("", "expected `graph`"),
        ("graph f(%x: f32[2]) {", "expected `return`"),
        ("graph f() { return } more", "expected the end of the text"),
        ("graph f(%x: f16[2]) { return }", "`f16` is not an element type"),
        ("graph f(%x: f32[-2]) { return }", "an extent is a number from 0"),
        ("graph f(%x: f32[9223372036854775807, 0, 2]) { return }", "more elements than memory can hold"),
        ("graph f(%x: f32[2], %x: f32[2]) { return }", "`%x` is defined already"),
        ("graph f(%x: f32[2]) { return %y }", "`%y` is not defined before this line"),
        ("graph f(%x: f32[2], %y: f32[3]) { return %x => %y }", "`%y` is f32[3], its next value is f32[2]"),
        ("graph f(%x: f32[2]) { return %x => %x, %x => %x }", "`%x` is updated already"),
        ("graph f(%x: f32[2]) { %y: f32[2] = exp %x return %x => %y }", "`%y` is not an input"),
        ("graph f() { %y: f32[2] = detached return }", "`return` is not an op"),
        ("graph f() { %y: f32[2] = detached } ", "expected an op"),
        ("graph f() { %y: f32[2] = input return }", "inputs stand in the head of the graph"),
        ("graph f() { %y: f32[2] = fill return }", "`fill` needs the attribute `value`"),
        ("graph f() { %y: f32[2] = fill { value = 1e39 } return }", "`1e39` is not a value of type f32"),
        ("graph f() { %y: f32[2] = fill { value = nan:3f800000 } return }", "is not a value of type f32"),
        ("graph f() { %y: u8[2] = fill { value = 256 } return }", "`256` is not a value of type u8"),
        ("graph f() { %y: u8[2] = fill { value = [1] } return }", "`value` is one value, not a list"),
        ("graph f() { %y: u8[2] = fill { value = 1, value = 1 } return }", "`value` stands here twice"),
        ("graph f() { %y: u8[2] = fill { value = 1, axis = 1 } return }", "`fill` has no attribute `axis`"),
        ("graph f() { %y: u8[2] = dense { data = [1] } return }", "u8[2] does not have 1 elements"),
        ("graph f(%x: u8[2]) { %y: u8[] = reduce_sum %x { axes = 0 } return }", "`axes` is a list"),
        ("graph f(%x: u8[2]) { %y: u8[] = dot %x, %x { contract = [0] } return }", "two numbers with `:`"),
        ("graph f(%x: u8[2], %i: i32[2]) { %y: u8[] = scatter_add %x, %i { axis = 3 } return }", "no axis 3"),
    ];
    for (text, words) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.message.contains(words), "{text}\n{error}");
    }
}

#[test]
fn sources_are_comments_that_the_parser_skips() {
    let mut graph = parse("graph f(%x: f32[2]) { %y: f32[2] = exp %x return %y }").unwrap();
    let y = graph.outputs()[0].value;
    graph.node_mut(y).source = Some(crate::Source::here().in_scope("fc1".into()));
    let text = crate::print_with(&graph, crate::PrintOptions { sources: true });
    assert!(text.contains("exp %x  // ir/src/parse/tests.rs:"), "{text}");
    assert!(text.contains(", in `fc1`"), "{text}");
    assert!(parse(&text).unwrap().same_as(&graph));
}

proptest! {
    /// Pieces cut out of valid text and put together in another order, with odd characters in between.
    #[test]
    fn no_text_makes_the_parser_panic(
        cuts in proptest::collection::vec((0usize..6000, 0usize..80, 0usize..20), 1..12)
    ) {
        const ODD: [&str; 20] = [
            "", "%", "{", "}", "[", "]", "(", ")", ",", ":", "=", "//", "\n", "é", "\u{2028}", "-", "0", "18446744073709551615",
            "nan:", "%x",
        ];
        let head = &EVERY_OP[..EVERY_OP.find('\n').unwrap() + 1];
        let mut text = head.to_string();
        for (start, length, odd) in cuts {
            let start = start.min(EVERY_OP.len());
            text += &EVERY_OP[start..(start + length).min(EVERY_OP.len())];
            text += ODD[odd];
        }
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    /// Valid text with one place overwritten: most of it is read before the mistake.
    #[test]
    fn one_wrong_place_never_makes_the_parser_panic(
        place in 0usize..6000, length in 0usize..8, insert in "[%a-z0-9\\[\\]{}(),:=.\\-/é \n]{0,8}"
    ) {
        let place = place.min(EVERY_OP.len());
        let end = (place + length).min(EVERY_OP.len());
        let text = [&EVERY_OP[..place], &insert, &EVERY_OP[end..]].concat();
        if let Ok(graph) = parse(&text) {
            let printed = graph.to_string();
            prop_assert!(parse(&printed).unwrap().same_as(&graph), "{}", printed);
        }
    }
}

#[test]
fn loops_that_do_not_fit_their_body() {
    let of = |head: &str, outputs: &str, result: &str| {
        let body = format!("graph b(%h: f32[2], %x: f32[]) {{\n%y: f32[2] = exp %h\nreturn {outputs} }}");
        let text = format!(
            "graph f(%h: f32[2], %x: f32[3]) {{\n%l: u8[0] = loop {head} {body}\n%r: {result}\nreturn %r\n}}"
        );
        parse(&text).expect_err("this text is wrong").message
    };
    let last = "f32[2] = loop_result %l { position = 0 }";
    assert_eq!(
        of("%h, %h { steps = 3, stacked = 1 }", "%y => %h", last),
        "`loop`: operand 1 is f32[2], the body takes f32[3]"
    );
    assert_eq!(
        of("%h { steps = 3, stacked = 1 }", "%y => %h", last),
        "`loop` takes 2 operands, 1 were given"
    );
    assert_eq!(
        of("%h, %x { steps = 3, stacked = 1 }", "%y, %y => %h", last),
        "`loop`: the body takes and returns the carried values first, in the same order, and takes the stacked ones next"
    );
    let good = "%h, %x { steps = 3, stacked = 1 }";
    assert_eq!(
        of(good, "%y => %h", "f32[3] = loop_result %l { position = 0 }"),
        "`loop_result`: result 0 of the loop is f32[2], not f32[3]"
    );
    assert_eq!(
        of(good, "%y => %h", "f32[3] = loop_result %l { position = 4 }"),
        "`loop_result`: the loop has 1 results, none at position 4"
    );
    assert_eq!(
        of(good, "%y => %h", "f32[3] = loop_result %x { position = 0 }"),
        "`loop_result`: the operand is f32[3], which is no loop"
    );
    let deep = "graph g() { %l: u8[0] = loop { steps = 1 } ".repeat(40);
    assert_eq!(parse(&deep).unwrap_err().message, "more than 16 loops in each other");
}

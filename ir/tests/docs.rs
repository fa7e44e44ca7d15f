//! `docs/ir.md` says what the code says: its op table is generated, its graphs are the printer's, its invariants are those
//! of the verifier. `UPDATE_DOCS=1` writes the table.

use kiln_ir::op::*;
use kiln_ir::{DType, Graph, Literal, Op, TensorData, TensorType, parse, verify};
use std::collections::BTreeSet;
use std::sync::Arc;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ir.md");
const BEGIN: &str = "<!-- ops -->\n";
const END: &str = "<!-- end of ops -->";

/// A graph with every op in it, and with every attribute.
const EVERY_OP: &str = include_str!("../src/parse/every_op.txt");

#[test]
fn the_op_table_is_current() {
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/ir.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("the table has a beginning");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let current = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, current).expect("docs/ir.md can be written");
    } else {
        assert!(document == current, "docs/ir.md is out of date: run with UPDATE_DOCS=1");
    }
}

#[test]
fn the_graphs_are_in_the_style_of_the_printer() {
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/ir.md is there");
    let graphs: Vec<&str> =
        document.split("```kiln\n").skip(1).filter_map(|s| s.split("```").next()).collect();
    assert!(!graphs.is_empty());
    for text in graphs {
        let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
        verify(&graph).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(graph.to_string(), text);
    }
}

#[test]
fn the_invariants_are_those_of_the_verifier() {
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/ir.md is there");
    for line in include_str!("../src/verify.rs").lines().map(|line| line.trim_start_matches("//! ")) {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            assert!(document.contains(line), "docs/ir.md lacks: {line}");
        }
    }
}

/// The table, family by family.
fn table() -> String {
    let graph = parse(EVERY_OP).unwrap_or_else(|error| panic!("{error}"));
    let mut table = String::from("\n| op | operands and result | element types | attributes | meaning |\n");
    table += "| --- | --- | --- | --- | --- |\n";
    for (name, meaning) in ops() {
        let (signature, dtypes) = signature(&graph, name);
        let attributes = attributes(&graph, name).join(", ");
        let meaning = meaning.replace('|', "\\|");
        table += &format!("| `{name}` | `{signature}` | {dtypes} | {attributes} | {meaning} |\n");
    }
    table + "\n"
}

/// Every op's name and meaning: the comment at its variant.
fn ops() -> Vec<(&'static str, String)> {
    let op = |variant: &str, name: &'static str| {
        let docs = variant_docs(include_str!("../src/op.rs"), "Op");
        let doc = docs.into_iter().find(|(found, _)| found == variant).expect("a variant of `Op`");
        vec![(name, doc.1)]
    };
    [
        op("Fill", "fill"),
        op("Dense", "dense"),
        op("Iota", "iota"),
        family(include_str!("../src/op/unary.rs"), "UnaryOp", &UnaryOp::ALL.map(UnaryOp::name)),
        family(include_str!("../src/op/binary.rs"), "BinaryOp", &BinaryOp::ALL.map(BinaryOp::name)),
        family(include_str!("../src/op/compare.rs"), "CompareOp", &CompareOp::ALL.map(CompareOp::name)),
        family(include_str!("../src/op/logical.rs"), "LogicalOp", &LogicalOp::ALL.map(LogicalOp::name)),
        op("Select", "select"),
        op("Cast", "cast"),
        family(include_str!("../src/op/reduce.rs"), "ReduceOp", &ReduceOp::ALL.map(ReduceOp::name)),
        family(include_str!("../src/op/reduce.rs"), "ArgReduceOp", &ArgReduceOp::ALL.map(ArgReduceOp::name)),
        op("Cumulative", "cumulative_sum"),
        op("ArgSort", "argsort"),
        op("Reshape", "reshape"),
        op("Permute", "permute"),
        op("Broadcast", "broadcast"),
        op("Slice", "slice"),
        op("Pad", "pad"),
        op("Concatenate", "concatenate"),
        op("Reverse", "reverse"),
        op("Dot", "dot"),
        op("Conv", "conv"),
        family(include_str!("../src/op/window.rs"), "WindowOp", &WindowOp::ALL.map(WindowOp::name)),
        op("Gather", "gather"),
        op("ScatterAdd", "scatter_add"),
        op("RandomBits", "random_bits"),
        op("Loop", "loop"),
        op("LoopResult", "loop_result"),
    ]
    .concat()
}

fn family(source: &str, name: &str, ops: &[&'static str]) -> Vec<(&'static str, String)> {
    let docs = variant_docs(source, name);
    assert_eq!(docs.len(), ops.len(), "`{name}::ALL` holds all its variants");
    ops.iter().copied().zip(docs.into_iter().map(|(_, doc)| doc)).collect()
}

/// The variants of an enum and their comments, in declaration order. Fields are indented deeper.
fn variant_docs(source: &str, name: &str) -> Vec<(String, String)> {
    let head = format!("pub enum {name} {{\n");
    let body = source.split_once(&head).and_then(|(_, rest)| rest.split_once("\n}")).expect("the enum").0;
    let mut docs = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("    ")) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if line.starts_with(|c: char| c.is_ascii_uppercase()) {
            let variant = line.chars().take_while(char::is_ascii_alphanumeric).collect();
            docs.push((variant, std::mem::take(&mut doc).join(" ")));
        }
    }
    docs
}

/// Names of all attributes that some node of this family shows, in the order in which they print (the first node of a
/// family in the example has all of them).
fn attributes(graph: &Graph, name: &str) -> Vec<String> {
    let mut attributes = Vec::new();
    let id = graph.ids().find(|&id| graph.op(id).name() == name).expect("every op is in the example");
    let family = std::mem::discriminant(graph.op(id));
    for id in graph.ids().filter(|&id| std::mem::discriminant(graph.op(id)) == family) {
        for (attribute, _) in graph.op(id).attributes() {
            let quoted = format!("`{attribute}`");
            if !attributes.contains(&quoted) {
                attributes.push(quoted);
            }
        }
    }
    attributes
}

/// `T, T, U -> T`, and which element types these are. Found out by asking the type rule about each element type: operands
/// of one type in the example change theirs together.
fn signature(graph: &Graph, name: &str) -> (String, String) {
    let id = graph.ids().find(|&id| graph.op(id).name() == name).expect("every op is in the example");
    let op = graph.op(id);
    let operands: Vec<TensorType> = graph.operands(id).iter().map(|&o| graph.node(o).ty().clone()).collect();
    match op {
        Op::Cast(_) => return ("T -> U".to_string(), "all".to_string()),
        // Those of the body.
        Op::Loop(_) => return (".. -> u8".to_string(), "all".to_string()),
        Op::LoopResult { .. } => return ("u8 -> T".to_string(), "`T`: all".to_string()),
        _ => {}
    }
    if operands.is_empty() {
        let results = DType::ALL.map(|dtype| with_dtype(op, dtype).infer(&[]));
        let dtypes = results.into_iter().flatten().map(|ty| ty.dtype).collect();
        return ("-> T".to_string(), format!("`T`: {}", words(&dtypes)));
    }
    let mut letters = Vec::new();
    let mut constraints = Vec::new();
    let mut free = ["T", "U"].into_iter();
    for (i, operand) in operands.iter().enumerate() {
        let first = operands.iter().position(|other| other.dtype == operand.dtype).expect("itself");
        if first < i {
            letters.push(letters[first]);
            continue;
        }
        let accepted = accepted(op, &operands, operand.dtype);
        if let [only] = accepted.iter().collect::<Vec<_>>()[..] {
            letters.push(only.name());
            continue;
        }
        let letter = free.next().expect("no op has three free element types");
        letters.push(letter);
        constraints.push(format!("`{letter}`: {}", words(&accepted)));
    }
    // The result has the element type of an operand if it follows it in every change.
    let follows = |ty: &&TensorType| {
        let mut accepted = accepted(op, &operands, ty.dtype).into_iter();
        accepted.all(|dtype| infer_with(op, &operands, ty.dtype, dtype) == Some(dtype))
    };
    let leader = operands.iter().position(|ty| follows(&ty));
    let result = leader.map_or(graph.node(id).ty().dtype.name(), |i| letters[i]);
    let dots = if let Op::Concatenate(_) = op { ", .." } else { "" };
    if let Op::Concatenate(_) = op {
        letters.truncate(1);
    }
    (format!("{}{dots} -> {result}", letters.join(", ")), constraints.join("; "))
}

/// The element types that the op takes in place of `dtype`.
fn accepted(op: &Op, operands: &[TensorType], dtype: DType) -> BTreeSet<DType> {
    DType::ALL.into_iter().filter(|&other| infer_with(op, operands, dtype, other).is_some()).collect()
}

/// The element type of the result when `other` stands in place of `dtype` in the operands.
fn infer_with(op: &Op, operands: &[TensorType], dtype: DType, other: DType) -> Option<DType> {
    let replaced = |ty: &TensorType| if ty.dtype == dtype { ty.with_dtype(other) } else { ty.clone() };
    let types: Vec<TensorType> = operands.iter().map(replaced).collect();
    with_dtype(op, other).infer(&types.iter().collect::<Vec<_>>()).ok().map(|ty| ty.dtype)
}

/// The op with the constants among its attributes in another element type.
fn with_dtype(op: &Op, dtype: DType) -> Op {
    let zero = Literal::zero(dtype);
    if let Op::Pad(pad) = op {
        return Op::Pad(Pad { value: zero, ..pad.clone() });
    }
    if let Op::Fill(_, shape) = op {
        return Op::Fill(zero, shape.clone());
    }
    if let Op::Dense(data) = op {
        return Op::Dense(Arc::new(TensorData::zeros(&data.ty().with_dtype(dtype))));
    }
    if let Op::Iota { ty, axis } = op {
        return Op::Iota { ty: ty.with_dtype(dtype), axis: *axis };
    }
    op.clone()
}

fn words(dtypes: &BTreeSet<DType>) -> String {
    let names: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
    if dtypes.len() == DType::ALL.len() { "all".to_string() } else { names.join(", ") }
}

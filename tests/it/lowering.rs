//! Which instructions ops become: the choices that were measured, kept by the assembly. See "Choices in 128 bits"
//! in `docs/architecture.md`.

use kiln::compile::{CompileOptions, compile};
use kiln::kernels::isa::Isa;
use kiln::state::State;
use kiln_ir::compare::{Tolerance, compare, random_data};
use kiln_ir::{Graph, TensorData, interpret, parse};
use std::fmt::Write as _;
use std::io::Write as _;

/// The packed instructions of a program, in order of first occurrence, without moves; nothing where the machine has no
/// AVX2.
fn instructions(text: &str) -> Option<String> {
    if !Isa::available().contains(&Isa::Avx2) {
        let _ = writeln!(std::io::stderr(), "skipped: this machine has no AVX2, whose code is compared");
        return None;
    }
    let options = CompileOptions { isa: Isa::Avx2, keep_text: true, ..CompileOptions::new(0, 1).unwrap() };
    let executable = compile(parse(text).unwrap(), &options);
    let mut found: Vec<&str> = Vec::new();
    for line in executable.text().assembly.iter().flat_map(|(_, code)| code.lines()) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let packed = ["ps", "pd", "d", "q", "b", "w"].iter().any(|end| name.ends_with(end));
        if name.starts_with('v') && packed && !name.starts_with("vmov") && !found.contains(&name) {
            found.push(name);
        }
    }
    Some(found.join(" "))
}

/// One line for each op on rows of 64 elements of a type.
fn table(rows: &[(&str, &str)]) -> Option<String> {
    let mut table = String::new();
    for (name, body) in rows {
        writeln!(table, "{name:<22} {}", instructions(body)?).expect("writing to a string cannot fail");
    }
    Some(table)
}

/// A program of one expression of `%x` and `%y`.
fn expression(lines: &str) -> String {
    format!("graph f(%x: f32[64], %y: f32[64]) {{ {lines} return %z }}")
}

#[test]
fn elementwise_ops_become_few_instructions() {
    let zero = "%o: f32[64] = fill { value = 0.0 }";
    let rows: Vec<(String, String)> = [
        ("max", "%z: f32[64] = max %x, %y".to_string()),
        ("max with a constant", format!("{zero}\n %z: f32[64] = max %x, %o")),
        ("min with a constant", format!("{zero}\n %z: f32[64] = min %x, %o")),
        ("select by comparison", "%c: bool[64] = gt %x, %y\n %z: f32[64] = select %c, %x, %y".to_string()),
        ("round", "%z: f32[64] = round %x".to_string()),
        ("floor", "%z: f32[64] = floor %x".to_string()),
        ("ceil", "%z: f32[64] = ceil %x".to_string()),
        ("neg", "%z: f32[64] = neg %x".to_string()),
        ("abs", "%z: f32[64] = abs %x".to_string()),
        ("sqrt", "%z: f32[64] = sqrt %x".to_string()),
        ("multiply and add", "%m: f32[64] = mul %x, %y\n %z: f32[64] = add %m, %x".to_string()),
        ("comparison", "%z: bool[64] = lt %x, %y".to_string()),
    ]
    .into_iter()
    .map(|(name, lines)| (name.to_string(), expression(&lines)))
    .collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    if let Some(table) = table(&rows) {
        insta::assert_snapshot!(table);
    }
}

/// Layers of one product and one function of it, each on what the one before gives.
fn layers(functions: &[&str]) -> Graph {
    let mut text = "graph layers(%x: f32[64, 64], %w: f32[64, 64]) {\n".to_string();
    let mut last = "%x".to_string();
    for (i, function) in functions.iter().enumerate() {
        writeln!(text, "%dot{i}: f32[64, 64] = dot {last}, %w {{ contract = [1:0] }}").unwrap();
        writeln!(text, "%y{i}: f32[64, 64] = {function} %dot{i}").unwrap();
        last = format!("%y{i}");
    }
    parse(&format!("{text} return {last} }}")).unwrap()
}

/// The names of the functions that a program is compiled to.
fn functions(graph: &Graph) -> Vec<String> {
    let options = CompileOptions { keep_text: true, ..CompileOptions::new(0, 2).unwrap() };
    let executable = compile(graph.clone(), &options);
    executable.text().clif.iter().map(|(name, _)| name.clone()).collect()
}

#[test]
fn equal_kernels_are_compiled_once() {
    assert_eq!(functions(&layers(&["tanh"])), ["k0", "step"]);
    assert_eq!(functions(&layers(&["tanh"; 5])), ["k0", "step"]);
    assert_eq!(functions(&layers(&["tanh", "sqrt", "tanh", "sqrt"])), ["k0", "k1", "step"]);
}

#[test]
fn kernels_that_share_a_function_work_on_memory_of_their_own() {
    let graph = layers(&["tanh", "sin", "tanh", "sin", "tanh"]);
    let inputs: Vec<TensorData> = graph
        .inputs()
        .iter()
        .zip(0..)
        .map(|(&input, seed)| random_data(graph.node(input).ty(), seed, -0.3..0.3))
        .collect();
    let mut executable = compile(graph.clone(), &CompileOptions::new(0, 2).unwrap());
    executable.run(&mut State::new(&[]), &inputs.iter().collect::<Vec<_>>());
    let expected = interpret(&graph, &inputs).unwrap();
    compare(&executable.output(0), &expected[0], Tolerance::mixed(1e-5)).unwrap();
}

#[test]
fn the_driver_of_many_kernels_is_several_functions() {
    let names = functions(&layers(&["tanh"; 70]));
    assert_eq!(names, ["k0", "step.0", "step.1", "step"]);
}

#[test]
fn dropout_is_drawn_and_applied_in_vectors() {
    let text = "graph dropout(%random: i64[2], %x: f32[64]) {
        %bits: i32[64] = random_bits %random
        %by: i32[64] = fill { value = 8 }
        %number: i32[64] = shift_right %bits, %by
        %limit: i32[64] = fill { value = 4194304 }
        %keep: bool[64] = ge %number, %limit
        %zero: f32[64] = fill { value = 0.0 }
        %y: f32[64] = select %keep, %x, %zero
        return %keep, %y
    }";
    if let Some(found) = instructions(text) {
        insta::assert_snapshot!(found);
    }
}

/// Each value uses the last one twice: written out they would be 2^64.
#[test]
fn what_a_chain_of_single_values_uses_twice_is_computed_once() {
    let steps = (0..64).fold(String::new(), |mut text, i| {
        writeln!(text, "%x{}: f32[] = mul %x{i}, %x{i}", i + 1).expect("writing to a string cannot fail");
        text
    });
    let text = format!("graph chain(%x0: f32[]) {{\n{steps}return %x64\n}}");
    let mut executable = compile(parse(&text).unwrap(), &CompileOptions::new(0, 1).unwrap());
    executable.run(&mut State::new(&[]), &[&TensorData::scalar(-1f32)]);
    assert_eq!(executable.output(0).to_f64_vec(), [1.0]);
}

//! Compiled programs against the reference interpreter.

use kiln::compile::{CompileOptions, compile};
use kiln::state::State;
use kiln_ir::compare::{Tolerance, compare as compare_data, random_data};
use kiln_ir::{Graph, TensorData, TensorType, interpret, parse};
use std::sync::{Mutex, OnceLock};

mod edges;
mod ops;
mod random;
mod scaled;
mod suite;

/// Programs for one thread, two, three and seven: more than this machine may have.
const THREADS: [usize; 4] = [1, 2, 3, 7];

/// Compiled sums run in another order than the interpreter's, which also keeps them in f64; transcendental functions
/// are within 4 ULP. Errors add up along a graph of tens of ops.
const TOLERANCE: Tolerance = Tolerance::mixed(2e-4);

/// Options with a team that all tests share: starting threads takes longer than compiling.
fn options(threads: usize) -> CompileOptions {
    static TEAMS: OnceLock<Mutex<Vec<CompileOptions>>> = OnceLock::new();
    let mut teams = TEAMS.get_or_init(Mutex::default).lock().unwrap();
    if let Some(options) = teams.iter().find(|options| options.team.n_threads() == threads) {
        return options.clone();
    }
    teams.push(CompileOptions::new(0, threads).unwrap());
    teams.last().unwrap().clone()
}

/// All outputs of a program; those that update state are read from it.
fn run(graph: &Graph, inputs: &[TensorData], options: &CompileOptions) -> Vec<TensorData> {
    let n_state =
        graph.outputs().iter().filter_map(|output| output.updates).max().map_or(0, |input| input + 1);
    let mut executable = compile(graph.clone(), &CompileOptions { n_state, ..options.clone() });
    let types: Vec<TensorType> = inputs[..n_state].iter().map(TensorData::ty).collect();
    let mut state = State::new(&types);
    inputs[..n_state].iter().enumerate().for_each(|(i, value)| state.set(i, value));
    let batch: Vec<TensorData> = inputs[n_state..].to_vec();
    executable.run(&mut state, &batch.iter().collect::<Vec<_>>());
    // Dropping the program and its state checks that nothing was written outside of them.
    let unchanged = batch.iter().zip(&inputs[n_state..]).all(|(after, before)| after.same_bits(before));
    assert!(unchanged, "a batch was written");
    let outputs = graph.outputs().iter().enumerate();
    outputs
        .map(|(k, output)| output.updates.map_or_else(|| executable.output(k), |input| state.get(input)))
        .collect()
}

fn random_inputs(graph: &Graph, seed: u64) -> Vec<TensorData> {
    let types = graph.inputs().iter().map(|&input| graph.node(input).ty());
    types.enumerate().map(|(i, ty)| random_data(ty, seed + i as u64, -2.0..2.0)).collect()
}

/// Runs a program optimized and not, on several teams: near the interpreter, and with the same bits on each team.
fn check(graph: &Graph, inputs: &[TensorData]) -> Result<(), String> {
    let expected = interpret(graph, inputs).map_err(|error| error.to_string())?;
    for first in same_on_all_teams(graph, inputs)? {
        near_interpreted(&first, &expected).map_err(|difference| format!("{difference}\n{graph}"))?;
    }
    Ok(())
}

/// Whether the outputs of a compiled program are those of the interpreter.
fn near_interpreted(got: &[TensorData], expected: &[TensorData]) -> Result<(), String> {
    for (k, (got, expected)) in got.iter().zip(expected).enumerate() {
        compare_data(got, expected, TOLERANCE).map_err(|difference| format!("output {k}: {difference}"))?;
    }
    Ok(())
}

/// The outputs of a program, as it is and optimized, when they have the same bits on each team. Even the smallest
/// kernels are shared among the threads.
fn same_on_all_teams(graph: &Graph, inputs: &[TensorData]) -> Result<[Vec<TensorData>; 2], String> {
    let all = [false, true].map(|optimize| {
        let on = |threads| {
            let options = CompileOptions { optimize, shared_from: 1, ..options(threads) };
            run(graph, inputs, &options)
        };
        let first = on(THREADS[0]);
        for &threads in &THREADS[1..] {
            for (k, (got, first)) in on(threads).iter().zip(&first).enumerate() {
                if !got.same_bits(first) {
                    return Err(format!(
                        "output {k} has other bits with {threads} threads (optimize: {optimize})\n{graph}"
                    ));
                }
            }
        }
        Ok(first)
    });
    let [plain, optimized] = all;
    Ok([plain?, optimized?])
}

fn check_text(text: &str) {
    let graph = parse(text).unwrap();
    check(&graph, &random_inputs(&graph, 1)).unwrap_or_else(|problem| panic!("{problem}"));
}

/// A graph in which one node is the only output.
fn with_output(graph: &Graph, node: kiln_ir::NodeId) -> Graph {
    let mut graph = graph.clone();
    graph.set_outputs(vec![kiln_ir::Output { value: node, updates: None }]);
    graph
}

#[test]
fn every_op_alone_and_together() {
    let graph = parse(include_str!("../../ir/src/parse/every_op.txt")).unwrap();
    let inputs = random_inputs(&graph, 7);
    let mut problems = Vec::new();
    for node in graph.ids() {
        let alone = with_output(&graph, node);
        if let Err(problem) = check(&alone, &inputs) {
            let name = kiln_ir::Names::new(&graph).get(node).to_string();
            problems.push(format!("%{name}: {}", problem.lines().next().unwrap()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let mut all = graph.clone();
    all.set_outputs(graph.ids().map(|value| kiln_ir::Output { value, updates: None }).collect());
    check(&all, &inputs).unwrap();
}

/// The least sum may take the memory of `%p`, which the comparison still reads.
#[test]
fn values_of_rows_are_read_before_any_is_stored() {
    check_text(
        "graph rows(%a: f32[5, 3], %b: f32[5, 10]) {
            %p: f32[5] = reduce_sum %a { axes = [1] }
            %q: f32[5] = reduce_sum %b { axes = [1] }
            %least: f32[5] = min %p, %q
            %less: bool[5] = lt %q, %p
            return %least, %less
        }",
    );
}

#[test]
fn scatter_of_wide_elements() {
    check_text(
        "graph scatter(%u: f64[3, 8], %x: i64[3, 8]) {
            %i: i64[3, 8] = add %x, %x
            %y: f64[3, 5] = scatter_add %u, %i { axis = 1 }
            return %y
        }",
    );
}

#[test]
fn search_along_an_axis_of_one_element() {
    check_text(
        "graph search(%x: f32[3, 1, 7]) {
            %i: i64[3, 7] = argmax %x { axis = 1 }
            return %i
        }",
    );
}

#[test]
fn softmax_of_rows_of_many_lengths() {
    for n in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 511, 512, 513, 1025] {
        check_text(&format!(
            "graph softmax(%x: f32[5, {n}]) {{
                %max: f32[5] = reduce_max %x {{ axes = [1] }}
                %m: f32[5, {n}] = broadcast %max {{ axes = [0] }}
                %shifted: f32[5, {n}] = sub %x, %m
                %e: f32[5, {n}] = exp %shifted
                %sum: f32[5] = reduce_sum %e {{ axes = [1] }}
                %s: f32[5, {n}] = broadcast %sum {{ axes = [0] }}
                %y: f32[5, {n}] = div %e, %s
                return %y, %sum
            }}"
        ));
    }
}

#[test]
fn state_is_updated_in_place_and_by_copies() {
    check_text(
        "graph step(%w: f32[40, 300], %v: f32[40, 300], %x: f32[40, 300]) {
            %g: f32[40, 300] = mul %w, %x
            %w.next: f32[40, 300] = sub %w, %g
            %sum: f32[] = reduce_sum %w { axes = [0, 1] }
            %both: f32[40, 300] = add %v, %w
            return %sum, %w.next => %w, %w => %v, %both
        }",
    );
}

#[test]
fn large_products_with_epilogues() {
    for (m, k, n) in [(64, 32, 48), (65, 33, 47), (1, 300, 100), (100, 300, 1), (128, 64, 10)] {
        check_text(&format!(
            "graph dense(%x: f32[{m}, {k}], %w: f32[{n}, {k}], %b: f32[{n}]) {{
                %d: f32[{m}, {n}] = dot %x, %w {{ contract = [1:1] }}
                %bb: f32[{m}, {n}] = broadcast %b {{ axes = [1] }}
                %y: f32[{m}, {n}] = add %d, %bb
                %t: f32[{m}, {n}] = tanh %y
                %g: f32[{n}, {k}] = dot %t, %x {{ contract = [0:0] }}
                %w2: f32[{n}, {k}] = sub %w, %g
                %s: f32[{n}] = reduce_sum %t {{ axes = [0] }}
                return %t, %w2, %s
            }}"
        ));
    }
}

#[test]
fn convolutions_and_their_gradients() {
    check_text(
        "graph conv(%x: f32[3, 4, 11, 9], %k: f32[6, 4, 3, 3], %b: f32[6], %dy: f32[3, 6, 9, 7]) {
            %y: f32[3, 6, 9, 7] = conv %x, %k
            %bb: f32[3, 6, 9, 7] = broadcast %b { axes = [1] }
            %z: f32[3, 6, 9, 7] = add %y, %bb
            %xt: f32[4, 3, 11, 9] = permute %x { permutation = [1, 0, 2, 3] }
            %dt: f32[6, 3, 9, 7] = permute %dy { permutation = [1, 0, 2, 3] }
            %dk: f32[4, 6, 3, 3] = conv %xt, %dt
            %dkt: f32[6, 4, 3, 3] = permute %dk { permutation = [1, 0, 2, 3] }
            %k2: f32[6, 4, 3, 3] = sub %k, %dkt
            return %z, %k2
        }",
    );
}

/// Vectors are shifted by one distance for all lanes; those out of range give zero.
#[test]
fn shifts_by_the_same_distance_everywhere() {
    for dtype in ["i32", "i64"] {
        for distance in [0, 8, 31, 32, 63, 64, -1] {
            check_text(&format!(
                "graph shifts(%x: {dtype}[7, 19], %by: {dtype}[7]) {{
                    %n: {dtype}[7, 19] = fill {{ value = {distance} }}
                    %row: {dtype}[7, 19] = broadcast %by {{ axes = [0] }}
                    %a: {dtype}[7, 19] = shift_right %x, %n
                    %b: {dtype}[7, 19] = shift_left %x, %n
                    %c: {dtype}[7, 19] = shift_right %x, %row
                    return %a, %b, %c
                }}"
            ));
        }
    }
}

#[test]
fn large_reductions_in_two_stages() {
    for (shape, axes, kept) in [
        ("40009", "0", ""),
        ("128, 300", "0, 1", ""),
        ("2, 3, 30000", "0, 2", "3"),
        ("3, 40009, 2", "1", "3, 2"),
    ] {
        for op in ["reduce_sum", "reduce_max"] {
            check_text(&format!(
                "graph f(%x: f32[{shape}], %y: f32[{shape}]) {{
                    %d: f32[{shape}] = sub %x, %y
                    %s: f32[{shape}] = mul %d, %d
                    %r: f32[{kept}] = {op} %s {{ axes = [{axes}] }}
                    return %r, %d
                }}"
            ));
        }
    }
}

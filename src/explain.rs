//! What a program is made of: an explanation for people, and the text of every stage between a model and its code.
//!
//! ```
//! use kiln::explain::Stage;
//! use kiln::prelude::*;
//!
//! let model = Linear::new(3, 2);
//! let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).compile(f32(&[4, 3]), f32(&[4, 2]))?;
//! let explanation = trainer.explain()?;
//! assert!(explanation.kernels.len() < explanation.n_nodes);
//! println!("{explanation}");
//! println!("{}", trainer.text(Stage::Schedule)?);
//! # Ok::<(), kiln::Error>(())
//! ```

use crate::compile::{CodeText, CompileError, CompileOptions, StageTime, try_compile};
use crate::error::Error;
use crate::executable::Executable;
use crate::trainer::Trainer;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::{Graph, NodeId, graphviz};
use kiln_passes::cost::{self, Bytes, Cost, Flops};
use kiln_passes::lower::{self, Lowered};
use kiln_passes::pipeline::{Options as PassOptions, Pipeline, PrintAfter};
use kiln_passes::{analysis, print_lowered};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// What a compiled program consists of.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The name of the program, as in `train`.
    pub name: String,
    /// Nodes of the graph as it was traced, before the first pass; those of the optimized graph when no pass ran.
    pub n_nodes_traced: usize,
    /// Nodes of the optimized graph.
    pub n_nodes: usize,
    /// The kernels in the order in which they run.
    pub kernels: Vec<KernelExplanation>,
    /// Work of one run.
    pub cost: Cost,
    /// Memory for values between kernels.
    pub arena_bytes: usize,
    /// What that would be if no memory were used twice.
    pub arena_bytes_without_reuse: usize,
    /// Memory of parameters, what the optimizer keeps, and counters.
    pub state_bytes: usize,
    /// Threads that run the program.
    pub n_threads: usize,
    /// Machine code.
    pub code_bytes: usize,
    /// Time of each stage of compilation.
    pub times: Vec<StageTime>,
}

/// One kernel of a program.
#[derive(Clone, Debug)]
pub struct KernelExplanation {
    /// What its loops do, as in `loop` or `contraction`.
    pub kind: &'static str,
    /// The iteration space, as in `[128, 512]`.
    pub domain: String,
    /// Names of the values that it writes.
    pub writes: Vec<String>,
    /// The ops that it computes together; those that occur several times with their number before them.
    pub fuses: Vec<String>,
    /// Its work.
    pub cost: Cost,
    /// For a contraction, the tiles that compute it.
    pub tiles: Option<String>,
}

impl Explanation {
    /// Time of the whole compilation.
    pub fn compile_time(&self) -> Duration {
        self.times.iter().map(|stage| stage.time).sum()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_fused: usize = self.kernels.iter().filter(|kernel| kernel.fuses.len() > 1).count();
        writeln!(f, "program `{}`", self.name)?;
        writeln!(f, "  graph    {} nodes traced, {} after the passes", self.n_nodes_traced, self.n_nodes)?;
        writeln!(f, "  kernels  {}, of which {n_fused} fuse several ops", self.kernels.len())?;
        writeln!(f, "  work     {}, {} a run", Flops(self.cost.flops), Bytes(self.cost.bytes))?;
        writeln!(
            f,
            "  memory   arena {} ({} without reuse), state {}",
            Bytes(self.arena_bytes as u64),
            Bytes(self.arena_bytes_without_reuse as u64),
            Bytes(self.state_bytes as u64),
        )?;
        writeln!(f, "  code     {} for {}", Bytes(self.code_bytes as u64), threads(self.n_threads))?;
        let stages: Vec<String> =
            self.times.iter().map(|stage| format!("{} {}", stage.stage, Milliseconds(stage.time))).collect();
        writeln!(f, "  compiled in {} ({})", Milliseconds(self.compile_time()), stages.join("; "))?;
        for (k, kernel) in self.kernels.iter().enumerate() {
            writeln!(f, "  k{k} {kernel}")?;
        }
        Ok(())
    }
}

impl fmt::Display for KernelExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.writes.iter().map(|name| format!("%{name}")).collect();
        let (kind, domain) = (self.kind, &self.domain);
        write!(f, "{kind} over {domain} -> {}: {}", names.join(", "), self.fuses.join(", "))?;
        write!(f, "; {}, {}", Flops(self.cost.flops), Bytes(self.cost.bytes))?;
        self.tiles.as_ref().map_or(Ok(()), |tiles| write!(f, "; {tiles}"))
    }
}

/// A number of threads in text.
pub(crate) fn threads(n: usize) -> String {
    if n == 1 { "1 thread".to_string() } else { format!("{n} threads") }
}

/// A duration in text: `12.3 ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milliseconds(pub Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", 1e3 * self.0.as_secs_f64())
    }
}

impl Executable {
    /// What the program consists of.
    pub fn explain(&self) -> Explanation {
        let (graph, lowered) = (self.graph(), self.lowered());
        let names = kiln_ir::Names::new(graph);
        let mut tiles = self.contractions();
        let mut kernels = Vec::new();
        for kernel in &lowered.schedule.kernels {
            kernels.push(KernelExplanation {
                kind: print_lowered::kind(kernel),
                domain: kernel.domain.to_string(),
                writes: kernel.writes.iter().map(|&node| names.get(node).to_string()).collect(),
                fuses: print_lowered::fused(graph, kernel),
                cost: cost::of_kernel(graph, kernel),
                tiles: tiles_of(graph, lowered, kernel, &mut tiles),
            });
        }
        let state = &graph.inputs()[..self.n_state()];
        let first_run = self.report().runs.first();
        Explanation {
            name: graph.name.clone(),
            n_nodes_traced: first_run.map_or(graph.n_nodes(), |run| run.n_nodes_before),
            n_nodes: graph.n_nodes(),
            cost: kernels.iter().map(|kernel| kernel.cost).sum(),
            kernels,
            arena_bytes: lowered.plan.arena_bytes,
            arena_bytes_without_reuse: lowered.plan.bytes_without_reuse,
            state_bytes: state.iter().map(|&node| graph.node(node).ty().n_bytes()).sum(),
            n_threads: self.n_threads(),
            code_bytes: self.code_bytes(),
            times: self.times().to_vec(),
        }
    }
}

/// The tiles that a kernel calls, from those of the kernels that follow; of a loop, those of the kernels of its body.
fn tiles_of(
    graph: &Graph,
    lowered: &Lowered,
    kernel: &Kernel,
    tiles: &mut dyn Iterator<Item = String>,
) -> Option<String> {
    let is_empty = |node: &NodeId| graph.node(*node).ty().n_elements() == 0;
    match kernel.kind {
        // Kernels that write nothing have no code.
        _ if kernel.writes.iter().all(is_empty) => None,
        KernelKind::Contraction(_) => tiles.next(),
        KernelKind::Repeat(node) => {
            let of = &lowered.loops[&node];
            let mut within: Vec<String> = Vec::new();
            for kernel in &of.lowered.schedule.kernels {
                within.extend(tiles_of(&of.body, &of.lowered, kernel, tiles));
            }
            (!within.is_empty()).then(|| within.join("; "))
        }
        KernelKind::Loop
        | KernelKind::ScatterAdd(_)
        | KernelKind::WindowPut(_)
        | KernelKind::Cumulative(_)
        | KernelKind::Sort(_) => None,
    }
}

/// A stage between a model and its code, which can be seen as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The model and its loss, as traced.
    Traced,
    /// With the gradient and the optimizer's update.
    Gradient,
    /// After the passes.
    Optimized,
    /// The groups of nodes that are computed together.
    Kernels,
    /// The order of the kernels, and their memory.
    Schedule,
    /// The generated code in Cranelift's language.
    Clif,
    /// The generated code as the machine's instructions.
    Asm,
    /// The optimized graph in Graphviz's language.
    Dot,
}

impl Trainer<'_> {
    /// What the compiled program of a step consists of; of a prediction, when the model was compiled for inference.
    ///
    /// Errors: the trainer does not compile its steps, and the model cannot be compiled either.
    pub fn explain(&self) -> Result<Explanation, Error> {
        match self.executable(self.task()) {
            Some(executable) => Ok(executable.explain()),
            None => Ok(try_compile(self.graph(self.task())?, &self.compile_options()?)?.explain()),
        }
    }

    /// The text of a stage of the program of a step (of a prediction, when the model was compiled for inference). It
    /// depends on the model and the batch types, and from [`Stage::Clif`] on also on the machine and the number of
    /// threads: earlier stages are fit for snapshots.
    ///
    /// Errors: as [`explain`](Trainer::explain).
    pub fn text(&self, stage: Stage) -> Result<String, Error> {
        Ok(text(self.graph(self.task())?, stage, &self.compile_options()?)?)
    }

    /// The graph after each run of a pass, or of all passes that changed something, with the pass before it.
    ///
    /// Errors: as [`explain`](Trainer::explain).
    pub fn text_after(&self, print_after: PrintAfter) -> Result<String, Error> {
        Ok(text_after(self.graph(self.task())?, print_after))
    }
}

/// A traced program after each run of a pass, or of all passes that changed something, with the pass before it.
pub fn text_after(mut graph: Graph, print_after: PrintAfter) -> String {
    let options = PassOptions { print_after, ..PassOptions::default() };
    let report = Pipeline::standard().run(&mut graph, &options);
    let dumps = report.dumps.iter();
    dumps.map(|dump| format!("// run {} of `{}`\n{}", dump.run, dump.pass, dump.text)).collect()
}

/// The text of a stage of a traced program.
///
/// Errors: the program cannot be compiled on this machine.
pub fn text(graph: Graph, stage: Stage, options: &CompileOptions) -> Result<String, CompileError> {
    Ok(match stage {
        Stage::Traced => forward(&graph).to_string(),
        Stage::Gradient => graph.to_string(),
        Stage::Optimized => optimized(graph, options).to_string(),
        Stage::Dot => graphviz(&optimized(graph, options)),
        Stage::Kernels => lowered_text(graph, options, print_lowered::kernels),
        Stage::Schedule => lowered_text(graph, options, print_lowered::schedule),
        Stage::Clif => functions(&code(graph, options)?.clif),
        Stage::Asm => functions(&code(graph, options)?.assembly),
    })
}

fn optimized(mut graph: Graph, options: &CompileOptions) -> Graph {
    Pipeline::standard().run(&mut graph, &options.passes);
    graph
}

fn lowered_text(graph: Graph, options: &CompileOptions, print: fn(&Graph, &Lowered) -> String) -> String {
    let mut graph = optimized(graph, options);
    lower::separate_outputs(&mut graph);
    print(&graph, &lower::lower(&graph))
}

fn code(graph: Graph, options: &CompileOptions) -> Result<CodeText, CompileError> {
    let options = CompileOptions { keep_text: true, ..options.clone() };
    Ok(try_compile(graph, &options)?.text().clone())
}

fn functions(code: &[(String, String)]) -> String {
    code.iter().map(|(name, text)| format!("; {name}\n{}\n", text.trim_end())).collect()
}

/// The part of a program that computes its first results: without what updates state, and without state that only the
/// update needs.
fn forward(program: &Graph) -> Graph {
    let mut whole = program.clone();
    whole.set_outputs(program.outputs().iter().filter(|output| output.updates.is_none()).copied().collect());
    let live = analysis::reachable(&whole);
    let mut graph = Graph::new(program.name.clone());
    let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
    let names = kiln_ir::Names::new(program);
    for &id in names.order().iter().filter(|&&id| live.contains(id)) {
        let node = program.node(id);
        let copy = if program.inputs().contains(&id) {
            graph.add_input(names.get(id), node.ty().clone())
        } else {
            let operands: Vec<NodeId> = node.operands().iter().map(|operand| copies[operand]).collect();
            graph.add(node.op().clone(), &operands).expect("the node was in a graph with these operands")
        };
        graph.node_mut(copy).name = node.name.clone();
        graph.node_mut(copy).source = node.source.clone();
        copies.insert(id, copy);
    }
    whole.outputs().iter().for_each(|output| graph.add_output(copies[&output.value], None));
    graph
}

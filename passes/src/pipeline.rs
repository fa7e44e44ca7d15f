//! The pipeline: the list of passes that make a graph small, and the runner that runs it.
//!
//! The runner, not the pass, verifies the graph, checks that "unchanged" is true, dumps, times, counts and limits the
//! number of rewrites. [`bisect`] uses that limit to name the one rewrite that makes a graph go wrong.

use crate::arrange_convs::ArrangeConvs;
use crate::arrange_dots::ArrangeDots;
use crate::eliminate_common::EliminateCommon;
use crate::eliminate_dead::EliminateDead;
use crate::fold_constants::FoldConstants;
use crate::merge_loops::MergeLoops;
use crate::optimize_bodies::OptimizeBodies;
use crate::optimize_bodies::panels::ArrangePanels;
use crate::pass::{Changed, Pass, Rewrites};
use crate::simplify::Simplify;
use crate::split_dilation::SplitDilation;
use crate::split_reduce::SplitReduce;
use kiln_ir::{Graph, verify};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A list of stages, run from first to last.
pub struct Pipeline {
    stages: Vec<Stage>,
}

/// One or more passes of a pipeline.
pub enum Stage {
    /// The pass runs once.
    Once(Box<dyn Pass>),
    /// The passes run one after the other, again and again, until none changes anything.
    UntilUnchanged(Vec<Box<dyn Pass>>),
}

/// Rounds after which a stage that still changes is stopped. Real graphs settle in two to five; a graph that needs
/// more is still right, and only less simple than it could be.
const MAX_ROUNDS: usize = 16;

/// What to do besides running the passes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Stop after this many rewrites, counted over all passes.
    pub max_rewrites: Option<usize>,
    /// Which texts to keep.
    pub print_after: PrintAfter,
    /// Verify the graph after each pass, and check that a pass which says "unchanged" is right.
    pub check: bool,
}

/// After which passes the graph is dumped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PrintAfter {
    /// None.
    #[default]
    Nothing,
    /// Each run of the pass with this name.
    Pass(String),
    /// Each run that changed the graph.
    EveryChange,
}

impl Default for Options {
    /// Everything is rewritten, nothing is kept, checks run in debug builds only.
    fn default() -> Options {
        Options { max_rewrites: None, print_after: PrintAfter::Nothing, check: cfg!(debug_assertions) }
    }
}

/// What the runner saw, as plain data.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry for each run of a pass, in order.
    pub runs: Vec<PassRun>,
    /// The texts asked for, in order.
    pub dumps: Vec<Dump>,
    /// Rewrites over all passes.
    pub n_rewrites: usize,
}

/// One run of one pass.
#[derive(Clone, Debug)]
pub struct PassRun {
    /// The pass.
    pub pass: &'static str,
    /// The time it took.
    pub elapsed: Duration,
    /// Number of nodes before.
    pub n_nodes_before: usize,
    /// Number of nodes after.
    pub n_nodes_after: usize,
    /// Rewrites by rule, by name of the rule.
    pub rewrites: BTreeMap<&'static str, usize>,
}

/// The graph after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The pass.
    pub pass: &'static str,
    /// Position in [`Report::runs`].
    pub run: usize,
    /// The graph after it.
    pub text: String,
}

impl Pipeline {
    /// The passes that every program goes through before it is grouped into kernels.
    pub fn standard() -> Pipeline {
        Pipeline::new(vec![
            // Traces hold what the user computed and never used: none of it is worth simplifying.
            Stage::once(EliminateDead),
            // Before anything rewrites a body.
            Stage::once(MergeLoops),
            // Before `simplify`, which merges their slices and reversals with what the gradient did to kernels.
            Stage::once(ArrangeConvs),
            Stage::once(SplitDilation),
            Stage::until_unchanged(vec![
                Box::new(Simplify),
                Box::new(FoldConstants),
                Box::new(EliminateCommon),
                Box::new(EliminateDead),
                Box::new(OptimizeBodies::new(for_bodies())),
            ]),
            // Last: `simplify` would merge the two stages again.
            Stage::once(SplitReduce),
            Stage::once(ArrangeDots),
            Stage::once(OptimizeBodies::only(vec![
                Box::new(ArrangeConvs),
                Box::new(SplitDilation),
                Box::new(ArrangeDots),
            ])),
            Stage::once(ArrangePanels),
            // Operands that several dots need in one order are arranged once.
            Stage::once(EliminateCommon),
        ])
    }

    /// A pipeline of these stages.
    pub fn new(stages: Vec<Stage>) -> Pipeline {
        Pipeline { stages }
    }

    /// The names of the passes, in the order in which they first run.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for pass in self.stages.iter().flat_map(Stage::passes) {
            if !names.contains(&pass.name()) {
                names.push(pass.name());
            }
        }
        names
    }

    /// Runs the passes on a verified graph, from which no gradient is derived any more.
    ///
    /// # Panics
    /// When a pass breaks the graph or says "unchanged" of a graph it changed, if `options.check`.
    pub fn run(&self, graph: &mut Graph, options: &Options) -> Report {
        let mut runner = Runner::new(options);
        // Values and loops that differ in nothing else are equal.
        graph.forget_detached();
        self.run_with(&mut runner, graph);
        runner.report.n_rewrites = runner.budget.n_taken();
        runner.report
    }

    fn run_with(&self, runner: &mut Runner, graph: &mut Graph) {
        for stage in &self.stages {
            match stage {
                Stage::Once(pass) => _ = runner.run(pass.as_ref(), graph),
                Stage::UntilUnchanged(passes) => runner.run_until_unchanged(passes, graph),
            }
        }
    }
}

impl Stage {
    /// A stage of one pass that runs once.
    pub fn once(pass: impl Pass + 'static) -> Stage {
        Stage::Once(Box::new(pass))
    }

    /// A stage of passes that run in turn until none changes anything.
    pub fn until_unchanged(passes: Vec<Box<dyn Pass>>) -> Stage {
        Stage::UntilUnchanged(passes)
    }

    fn passes(&self) -> impl Iterator<Item = &dyn Pass> {
        let passes = match self {
            Stage::Once(pass) => std::slice::from_ref(pass),
            Stage::UntilUnchanged(passes) => passes.as_slice(),
        };
        passes.iter().map(|pass| pass.as_ref())
    }
}

/// The passes that run on the bodies of loops until nothing changes.
fn for_bodies() -> Vec<Box<dyn Pass>> {
    vec![Box::new(Simplify), Box::new(FoldConstants), Box::new(EliminateCommon), Box::new(EliminateDead)]
}

struct Runner {
    options: Options,
    budget: Rewrites,
    report: Report,
    /// The pass that did the last rewrite: the guilty one when bisecting.
    last_change_by: Option<&'static str>,
}

impl Runner {
    fn new(options: &Options) -> Runner {
        let budget = options.max_rewrites.map_or_else(Rewrites::unlimited, Rewrites::limited);
        Runner { options: options.clone(), budget, report: Report::default(), last_change_by: None }
    }

    fn run_until_unchanged(&mut self, passes: &[Box<dyn Pass>], graph: &mut Graph) {
        for _ in 0..MAX_ROUNDS {
            let mut changed = Changed::No;
            for pass in passes {
                changed = changed.or(self.run(pass.as_ref(), graph));
            }
            if changed == Changed::No {
                return;
            }
        }
    }

    fn run(&mut self, pass: &dyn Pass, graph: &mut Graph) -> Changed {
        let before = self.options.check.then(|| graph.clone());
        let n_nodes_before = graph.n_nodes();
        let start = Instant::now();
        let changed = pass.run(graph, &mut self.budget);
        let elapsed = start.elapsed();
        if let Some(before) = before {
            check(pass, &before, graph, changed, &self.budget);
        }
        let rewrites = self.budget.drain_counts();
        if !rewrites.is_empty() {
            self.last_change_by = Some(pass.name());
        }
        let n_nodes_after = graph.n_nodes();
        self.report.runs.push(PassRun {
            pass: pass.name(),
            elapsed,
            n_nodes_before,
            n_nodes_after,
            rewrites,
        });
        if self.wants_dump(pass, changed) {
            let run = self.report.runs.len() - 1;
            self.report.dumps.push(Dump { pass: pass.name(), run, text: graph.to_string() });
        }
        changed
    }

    fn wants_dump(&self, pass: &dyn Pass, changed: Changed) -> bool {
        match &self.options.print_after {
            PrintAfter::Nothing => false,
            PrintAfter::Pass(name) => name == pass.name(),
            PrintAfter::EveryChange => changed == Changed::Yes,
        }
    }
}

/// Panics with the name of the pass when the graph it left is not right.
fn check(pass: &dyn Pass, before: &Graph, after: &Graph, changed: Changed, budget: &Rewrites) {
    let name = pass.name();
    if let Err(error) = verify(after) {
        panic!(
            "internal error: pass `{name}` broke the graph (this is a bug in the compiler, please report it)\n\
             {error}\n   = at most {n} rewrites in; bisect with a limit on the rewrites",
            n = budget.n_taken()
        );
    }
    assert!(
        changed == Changed::Yes || before.same_as(after),
        "internal error: pass `{name}` says it changed nothing, but it did (please report this)\n\
         before:\n{before}after:\n{after}"
    );
}

/// The rewrite that makes a graph go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guilty {
    /// The pass it belongs to.
    pub pass: &'static str,
    /// The rule, as the statistics name it.
    pub rule: &'static str,
    /// Its number, from 1: with one rewrite less allowed, the graph is still good.
    pub rewrite: usize,
    /// The graph before it.
    pub before: String,
    /// The graph after it.
    pub after: String,
}

/// The first rewrite after which `is_bad` says so, found by halving the number of rewrites allowed; `None` when the graph
/// is bad before any rewrite, or good after all of them.
///
/// `is_bad` sees graphs between rewrites; it must be decided by what they compute.
pub fn bisect(pipeline: &Pipeline, graph: &Graph, mut is_bad: impl FnMut(&Graph) -> bool) -> Option<Guilty> {
    let limited = |limit: usize| {
        let mut graph = graph.clone();
        let options = Options { max_rewrites: Some(limit), print_after: PrintAfter::Nothing, check: false };
        let mut runner = Runner::new(&options);
        pipeline.run_with(&mut runner, &mut graph);
        (graph, runner)
    };
    let mut good = 0;
    let mut bad = limited(usize::MAX).1.budget.n_taken();
    if is_bad(&limited(good).0) || !is_bad(&limited(bad).0) {
        return None;
    }
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if is_bad(&limited(middle).0) {
            bad = middle;
        } else {
            good = middle;
        }
    }
    let (after, runner) = limited(bad);
    Some(Guilty {
        pass: runner.last_change_by?,
        rule: runner.budget.last_rule()?,
        rewrite: bad,
        before: limited(good).0.to_string(),
        after: after.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AddToSub, same_results};
    use insta::assert_snapshot;
    use kiln_ir::op::UnaryOp;
    use kiln_ir::{Op, parse};

    const TEXT: &str = "
        graph f(%x: f32[2, 3], %unused: f32[1]) {
            %dead: f32[2, 3] = exp %x
            %a: f32[6] = reshape %x
            %b: f32[2, 3] = reshape %a
            %one: f32[2, 3] = fill { value = 1.0 }
            %c: f32[2, 3] = mul %b, %one
            %d: f32[2, 3] = sin %c
            %e: f32[2, 3] = sin %x
            %f: f32[2, 3] = add %d, %e
            return %f
        }
    ";

    #[test]
    fn the_standard_pipeline_runs_until_nothing_changes() {
        let mut graph = parse(TEXT).unwrap();
        let report = Pipeline::standard().run(&mut graph, &Options::default());
        assert_snapshot!(graph, @"
        graph f(%x: f32[2, 3], %unused: f32[1]) {
            %d: f32[2, 3] = sin %x
            %f: f32[2, 3] = add %d, %d
            return %f
        }
        ");
        let again = Pipeline::standard().run(&mut graph, &Options::default());
        assert_eq!(again.n_rewrites, 0);
        assert!(
            report.runs.iter().map(|run| run.rewrites.values().sum::<usize>()).sum::<usize>()
                == report.n_rewrites
        );
    }

    #[test]
    fn the_report_counts_by_pass_and_rule() {
        let mut graph = parse(TEXT).unwrap();
        let report = Pipeline::standard().run(&mut graph, &Options::default());
        let lines: Vec<String> = report
            .runs
            .iter()
            .map(|run| {
                format!("{} {} -> {} {:?}", run.pass, run.n_nodes_before, run.n_nodes_after, run.rewrites)
            })
            .collect();
        assert_snapshot!(lines.join("\n"), @r#"
        eliminate_dead 10 -> 9 {"remove": 1}
        merge_loops 9 -> 9 {}
        arrange_convs 9 -> 9 {}
        split_dilation 9 -> 9 {}
        simplify 9 -> 5 {"mul_one": 1, "reshape_of_reshape": 1}
        fold_constants 5 -> 5 {}
        eliminate_common 5 -> 4 {"merge": 1}
        eliminate_dead 4 -> 4 {}
        optimize_bodies 4 -> 4 {}
        simplify 4 -> 4 {}
        fold_constants 4 -> 4 {}
        eliminate_common 4 -> 4 {}
        eliminate_dead 4 -> 4 {}
        optimize_bodies 4 -> 4 {}
        split_reduce 4 -> 4 {}
        arrange_dots 4 -> 4 {}
        arrange_bodies 4 -> 4 {}
        arrange_panels 4 -> 4 {}
        eliminate_common 4 -> 4 {}
        "#);
    }

    #[test]
    fn dumps_are_those_asked_for() {
        let dumps = |print_after: PrintAfter| {
            let options = Options { print_after, ..Options::default() };
            let report = Pipeline::standard().run(&mut parse(TEXT).unwrap(), &options);
            report.dumps.into_iter().map(|dump| (dump.pass, dump.run)).collect::<Vec<_>>()
        };
        assert_eq!(dumps(PrintAfter::Nothing), []);
        let simplify = PrintAfter::Pass("simplify".to_string());
        assert_eq!(dumps(simplify), [("simplify", 4), ("simplify", 9)]);
        let changes = [("eliminate_dead", 0), ("simplify", 4), ("eliminate_common", 6)];
        assert_eq!(dumps(PrintAfter::EveryChange), changes);
    }

    #[test]
    fn bisection_names_the_wrong_rewrite() {
        let graph = parse(TEXT).unwrap();
        let pipeline = Pipeline::new(vec![
            Stage::once(EliminateDead),
            Stage::once(Simplify),
            Stage::once(AddToSub),
            Stage::until_unchanged(vec![Box::new(EliminateCommon), Box::new(EliminateDead)]),
        ]);
        let guilty = bisect(&pipeline, &graph, |after| same_results(&graph, after).is_err()).unwrap();
        assert_eq!((guilty.pass, guilty.rule, guilty.rewrite), ("add_to_sub", "add_to_sub", 4));
        assert_snapshot!(crate::testing::diff(&guilty.before, &guilty.after), @"
          graph f(%x: f32[2, 3], %unused: f32[1]) {
              %d: f32[2, 3] = sin %x
              %e: f32[2, 3] = sin %x
        -     %f: f32[2, 3] = add %d, %e
        -     return %f
        +     %sub: f32[2, 3] = sub %d, %e
        +     return %sub
          }
        ");
        let good = Pipeline::standard();
        assert_eq!(bisect(&good, &graph, |after| same_results(&graph, after).is_err()), None);
    }

    /// Adds a node and says that it did not.
    struct Liar;

    impl Pass for Liar {
        fn name(&self) -> &'static str {
            "liar"
        }

        fn run(&self, graph: &mut Graph, _: &mut Rewrites) -> Changed {
            let x = graph.inputs()[0];
            graph.add(Op::Unary(UnaryOp::Exp), &[x]).unwrap();
            Changed::No
        }
    }

    #[test]
    #[should_panic(expected = "pass `liar` says it changed nothing, but it did")]
    fn a_pass_that_hides_a_change_is_named() {
        let options = Options { check: true, ..Options::default() };
        Pipeline::new(vec![Stage::once(Liar)]).run(&mut parse(TEXT).unwrap(), &options);
    }
}

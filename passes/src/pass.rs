//! What a pass is, and the budget that finds the guilty rewrite.

use kiln_ir::Graph;
use std::collections::BTreeMap;

/// A transformation of a verified graph into a verified graph that computes the same. It cannot fail and keeps nothing
/// between runs; the file, the type and the name in dumps are one name.
pub trait Pass {
    /// The name in dumps, statistics and options.
    fn name(&self) -> &'static str;

    /// Rewrites the graph. Each rewrite asks `budget.take()` first and is left out when that says no.
    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed;
}

/// Whether a pass changed the graph. The runner checks it in tests and debug builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Changed {
    /// The graph is as it was.
    No,
    /// At least one rewrite was done.
    Yes,
}

impl Changed {
    /// `Yes` if there was something to count.
    pub fn if_any(n_rewrites: usize) -> Changed {
        if n_rewrites == 0 { Changed::No } else { Changed::Yes }
    }

    /// Whether either changed the graph.
    pub fn or(self, other: Changed) -> Changed {
        match self {
            Changed::Yes => Changed::Yes,
            Changed::No => other,
        }
    }
}

/// Counts rewrites by rule, and ends them at a limit: half the limit at a time, a wrong rewrite among thousands is found
/// in a dozen runs. The idea is `-opt-bisect-limit` of LLVM and `mir_opt_bisect_limit` of rustc.
#[derive(Clone, Debug, Default)]
pub struct Rewrites {
    limit: Option<usize>,
    n_taken: usize,
    by_rule: BTreeMap<&'static str, usize>,
    last: Option<&'static str>,
}

impl Rewrites {
    /// As many as there are.
    pub fn unlimited() -> Rewrites {
        Rewrites::default()
    }

    /// The first `limit` rewrites and no more.
    pub fn limited(limit: usize) -> Rewrites {
        Rewrites { limit: Some(limit), ..Rewrites::default() }
    }

    /// Asks for one rewrite by this rule; on `false` it must not be done.
    pub fn take(&mut self, rule: &'static str) -> bool {
        if self.is_spent() {
            return false;
        }
        self.n_taken += 1;
        *self.by_rule.entry(rule).or_default() += 1;
        self.last = Some(rule);
        true
    }

    /// Whether the next [`Rewrites::take`] will say no: rules that match by emitting ask this before they match.
    pub fn is_spent(&self) -> bool {
        self.limit.is_some_and(|limit| self.n_taken >= limit)
    }

    /// How many rewrites were taken.
    pub fn n_taken(&self) -> usize {
        self.n_taken
    }

    /// The rule of the last rewrite that was taken.
    pub fn last_rule(&self) -> Option<&'static str> {
        self.last
    }

    /// Rewrites per rule since the last call, by name of the rule.
    pub fn drain_counts(&mut self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.by_rule)
    }
}

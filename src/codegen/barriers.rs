//! Where the threads of a team must meet: before a step that touches memory which another thread may have written, or
//! may still be reading, since they met last.

use super::driver::{Step, Work};
use kiln_ir::NodeId;
use std::ops::Range;

/// A piece of memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The program's arena.
    Arena,
    /// The buffer of an input.
    Input(usize),
    /// A constant.
    Constant(NodeId),
}

/// Bytes of a region.
pub type Memory = (Region, Range<usize>);

/// The memory that a step reads and writes.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// What it reads.
    pub reads: Vec<Memory>,
    /// What it writes.
    pub writes: Vec<Memory>,
}

impl Touched {
    /// All that any of these steps touches.
    pub fn union(steps: &[Step]) -> Touched {
        let mut all = Touched::default();
        for step in steps {
            all.reads.extend_from_slice(&step.touched.reads);
            all.writes.extend_from_slice(&step.touched.writes);
        }
        all
    }

    fn conflicts_with(&self, other: &Touched) -> bool {
        let overlap = |a: &[Memory], b: &[Memory]| {
            a.iter().any(|(r, x)| b.iter().any(|(s, y)| r == s && x.start < y.end && y.start < x.end))
        };
        overlap(&self.writes, &other.writes)
            || overlap(&self.reads, &other.writes)
            || overlap(&self.writes, &other.reads)
    }
}

/// Decides which steps of a program stand behind a barrier.
pub fn place(steps: &mut [Step]) {
    place_after(steps, Vec::new());
}

/// What was touched since the last barrier, and whether by all threads.
type Since = Vec<(bool, Touched)>;

/// Places barriers in steps that run after others; returns what was touched since the last one.
fn place_after(steps: &mut [Step], mut since: Since) -> Since {
    for step in steps {
        let conflict = since.iter().any(|(other_parallel, other)| {
            (step.parallel || *other_parallel) && step.touched.conflicts_with(other)
        });
        step.barrier |= conflict;
        if step.barrier {
            since.clear();
        }
        match &mut step.work {
            // Behind its own barrier, what a loop needs to wait for is only itself.
            Work::Repeat { steps, .. } if step.parallel => since.extend(place_in_loop(steps)),
            Work::Repeat { .. }
            | Work::Loop { .. }
            | Work::Contraction(_)
            | Work::Sort(_)
            | Work::Copy(_) => {
                since.push((step.parallel, step.touched.clone()));
            }
        }
    }
    since
}

/// Places barriers within a loop, whose first step also comes after its last.
fn place_in_loop(steps: &mut [Step]) -> Since {
    let mut since = place_after(steps, Vec::new());
    loop {
        let n_barriers = count(steps);
        since = place_after(steps, since);
        if count(steps) == n_barriers {
            return since;
        }
    }
}

/// Barriers in steps and in the loops among them.
fn count(steps: &[Step]) -> usize {
    let within = |step: &Step| match &step.work {
        Work::Repeat { steps, .. } => count(steps),
        Work::Loop { .. } | Work::Contraction(_) | Work::Sort(_) | Work::Copy(_) => 0,
    };
    steps.iter().map(|step| usize::from(step.barrier) + within(step)).sum()
}

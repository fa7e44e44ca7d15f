//! The passes of Kiln: the verbs. Graph in, better graph out.
//!
//! A pass rewrites a [`Graph`](kiln_ir::Graph) or derives something from it: one pass, one file. The [`pipeline`] is one
//! list and its runner. Nothing in this crate knows a machine or a user's tensor; what it knows of an op is what
//! [`kiln_ir::op`] says.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod arrange_convs;
pub mod arrange_dots;
pub mod contraction;
pub mod cost;
pub mod eliminate_common;
pub mod eliminate_dead;
pub mod fold_constants;
pub mod fuse;
pub mod gradient;
pub mod loop_bodies;
pub mod loops;
pub mod lower;
pub mod merge_loops;
pub mod optimize_bodies;
pub mod pass;
pub mod pipeline;
pub mod plan_memory;
pub mod print_lowered;
pub mod schedule;
pub mod simplify;
pub mod split_dilation;
pub mod split_reduce;
pub mod testing;

pub use arrange_convs::ArrangeConvs;
pub use arrange_dots::ArrangeDots;
pub use eliminate_common::EliminateCommon;
pub use eliminate_dead::EliminateDead;
pub use fold_constants::FoldConstants;
pub use pass::{Changed, Pass, Rewrites};
pub use pipeline::{Options, Pipeline, PrintAfter, Report};
pub use simplify::Simplify;
pub use split_dilation::SplitDilation;
pub use split_reduce::SplitReduce;

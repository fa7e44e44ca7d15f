//! The body of a kernel's loop nest: loads, operations, reductions and stores at one index of the domain.
//!
//! A value stands for what is computed at the current index. Movement ops are gone: they became addresses. Values
//! are in order of computation and no two are equal.
//!
//! Reductions run in *phases*. Phase 0 walks the reduced axes and computes what needs no reduction's result; the
//! reductions whose operands need those of phase `p` run in phase `p + 1`. So a softmax over rows has three phases:
//! maximum; sum of exponentials; quotient.

use super::affine::{Affine, Derived, Variable, Variables};
use kiln_ir::op::{ArgReduceOp, BinaryOp, CompareOp, LogicalOp, ReduceOp, UnaryOp};
use kiln_ir::{DType, Literal, NodeId};
use smallvec::SmallVec;

/// Position of a value in [`LoopBody::values`].
pub type ValueId = usize;

/// How a value is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// An element of a buffer.
    Load {
        /// Position in [`LoopBody::buffers`].
        buffer: usize,
        /// Elements from the start of the buffer.
        address: Affine,
    },
    /// A constant.
    Constant(Literal),
    /// The value of an index expression.
    Index(Affine),
    /// Whether `low <= of < high`.
    InRange {
        /// The index asked about.
        of: Affine,
        /// Least index in the range.
        low: i64,
        /// End of the range.
        high: i64,
    },
    /// An elementwise op.
    Unary(UnaryOp, ValueId),
    /// An elementwise op.
    Binary(BinaryOp, ValueId, ValueId),
    /// A comparison; `bool`.
    Compare(CompareOp, ValueId, ValueId),
    /// An op on bits.
    Logical(LogicalOp, SmallVec<[ValueId; 2]>),
    /// Condition, value if true, value if false.
    Select(ValueId, ValueId, ValueId),
    /// Conversion to the value's element type.
    Cast(ValueId),
    /// The result of a reduction, in phases after it.
    Reduced(usize),
    /// A word of the random stream: key, counter, position in the stream.
    Random {
        /// The key, an `i64`.
        key: ValueId,
        /// The counter, an `i64`.
        counter: ValueId,
        /// Position in the stream.
        element: Affine,
    },
}

impl ValueKind {
    /// The index expression that the value is made with, if it is made with one.
    pub fn index_mut(&mut self) -> Option<&mut Affine> {
        match self {
            ValueKind::Load { address: of, .. }
            | ValueKind::Index(of)
            | ValueKind::InRange { of, .. }
            | ValueKind::Random { element: of, .. } => Some(of),
            ValueKind::Constant(_)
            | ValueKind::Unary(..)
            | ValueKind::Binary(..)
            | ValueKind::Compare(..)
            | ValueKind::Logical(..)
            | ValueKind::Select(..)
            | ValueKind::Cast(_)
            | ValueKind::Reduced(_) => None,
        }
    }
}

/// A value of the loop body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// How it is computed.
    pub kind: ValueKind,
    /// Its element type.
    pub dtype: DType,
    /// The first phase in which it can be computed.
    pub phase: usize,
}

/// What a reduction keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReductionKind {
    /// Sum, maximum, minimum or product of the operand.
    Fold(ReduceOp),
    /// The index, along an axis, of the first greatest or least operand.
    Arg(ArgReduceOp, Affine),
    /// The payload at the first greatest operand.
    Pick {
        /// What is taken.
        payload: ValueId,
        /// Whether the operand takes part; always when absent.
        inside: Option<ValueId>,
        /// The result when no operand takes part.
        otherwise: Literal,
    },
    /// A running sum, stored at each step.
    Running,
}

/// A reduction over the reduced axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduction {
    /// What is kept.
    pub kind: ReductionKind,
    /// The value reduced.
    pub operand: ValueId,
    /// Element type of the result.
    pub dtype: DType,
    /// The phase in which it runs.
    pub phase: usize,
}

impl Reduction {
    /// Whether an index or a payload is kept beside the value compared.
    pub fn is_search(&self) -> bool {
        match self.kind {
            ReductionKind::Arg(..) | ReductionKind::Pick { .. } => true,
            ReductionKind::Fold(_) | ReductionKind::Running => false,
        }
    }

    /// The index that is kept, of a search for one.
    pub fn index(&self) -> Option<&Affine> {
        match &self.kind {
            ReductionKind::Arg(_, of) => Some(of),
            ReductionKind::Fold(_) | ReductionKind::Pick { .. } | ReductionKind::Running => None,
        }
    }

    /// The index that is kept, to change it.
    pub fn index_mut(&mut self) -> Option<&mut Affine> {
        match &mut self.kind {
            ReductionKind::Arg(_, of) => Some(of),
            ReductionKind::Fold(_) | ReductionKind::Pick { .. } | ReductionKind::Running => None,
        }
    }

    /// The values that it takes at each index beside the operand.
    pub fn extras(&self) -> SmallVec<[ValueId; 2]> {
        match self.kind {
            ReductionKind::Pick { payload, inside, .. } => [payload].into_iter().chain(inside).collect(),
            ReductionKind::Fold(_) | ReductionKind::Arg(..) | ReductionKind::Running => SmallVec::new(),
        }
    }
}

/// A value written to a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// Position in [`LoopBody::buffers`].
    pub buffer: usize,
    /// Elements from the start of the buffer.
    pub address: Affine,
    /// The value written.
    pub value: ValueId,
    /// Whether it is written once per kept index, after the reduced axes.
    pub per_row: bool,
    /// The phase in which it is written; for a value per row, the number of phases done before.
    pub phase: usize,
}

/// A value added to an element whose address is only known when the program runs. Before the first addition the
/// elements `base + i * stride` for `i < count` are set to zero, where `base` is the address without the loaded index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accumulate {
    /// Position in [`LoopBody::buffers`].
    pub buffer: usize,
    /// Elements from the start of the buffer.
    pub address: Affine,
    /// The variable in the address that is loaded.
    pub loaded: Variable,
    /// The value added.
    pub value: ValueId,
    /// Whether the index is one of the axis: otherwise nothing is added.
    pub condition: ValueId,
    /// Whether it is done once per kept index, after the reduced axes.
    pub per_row: bool,
}

/// One axis of the loop nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AxisKind {
    /// Indices are independent: split over threads.
    Parallel,
    /// Indices are walked in order by one thread, each a row of its own.
    Ordered,
    /// Reduced: walked in order within a row.
    Reduced,
}

/// The loop nest of a kernel.
#[derive(Clone, Debug)]
pub struct LoopBody {
    /// Extents of the axes, and the derived variables.
    pub variables: Variables,
    /// What each axis is.
    pub axes: Vec<AxisKind>,
    /// The axis that vectors run along: the last parallel or the last reduced one.
    pub vector_axis: usize,
    /// The nodes whose memory is touched; loads and stores refer to positions here.
    pub buffers: Vec<NodeId>,
    /// All values, operands first.
    pub values: Vec<Value>,
    /// Reductions, in order of their phases.
    pub reductions: Vec<Reduction>,
    /// What is written.
    pub stores: Vec<Store>,
    /// What is added to computed addresses.
    pub accumulate: Option<Accumulate>,
}

/// All of a loop nest but the memory that it works on: the same code computes all that are equal in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Computation<'a> {
    variables: &'a Variables,
    axes: &'a [AxisKind],
    vector_axis: usize,
    n_buffers: usize,
    values: &'a [Value],
    reductions: &'a [Reduction],
    stores: &'a [Store],
    accumulate: Option<&'a Accumulate>,
}

impl LoopBody {
    /// What is computed, wherever in memory.
    pub fn computation(&self) -> Computation<'_> {
        let LoopBody { variables, axes, vector_axis, buffers, values, reductions, stores, accumulate } = self;
        Computation {
            variables,
            axes,
            vector_axis: *vector_axis,
            n_buffers: buffers.len(),
            values,
            reductions,
            stores,
            accumulate: accumulate.as_ref(),
        }
    }

    /// Extent of an axis.
    pub fn extent(&self, axis: usize) -> usize {
        self.variables.extents[axis]
    }

    /// Number of phases that walk the reduced axes; 1 when nothing is reduced.
    pub fn n_phases(&self) -> usize {
        let by_reductions = self.reductions.iter().map(|r| r.phase + 1);
        let by_stores = self.stores.iter().filter(|s| !s.per_row).map(|s| s.phase + 1);
        by_reductions.chain(by_stores).max().unwrap_or(1)
    }

    /// The values that a value is computed from.
    pub fn operands(&self, value: ValueId) -> SmallVec<[ValueId; 4]> {
        match &self.values[value].kind {
            ValueKind::Load { .. }
            | ValueKind::Constant(_)
            | ValueKind::Index(_)
            | ValueKind::InRange { .. }
            | ValueKind::Reduced(_) => SmallVec::new(),
            ValueKind::Unary(_, x) | ValueKind::Cast(x) => SmallVec::from_slice(&[*x]),
            ValueKind::Binary(_, a, b) | ValueKind::Compare(_, a, b) => SmallVec::from_slice(&[*a, *b]),
            ValueKind::Logical(_, xs) => SmallVec::from_slice(xs),
            ValueKind::Select(c, t, f) => SmallVec::from_slice(&[*c, *t, *f]),
            ValueKind::Random { key, counter, .. } => SmallVec::from_slice(&[*key, *counter]),
        }
    }

    /// The nodes whose elements are loaded.
    pub fn loaded(&self) -> impl Iterator<Item = NodeId> {
        self.values.iter().filter_map(|value| {
            let ValueKind::Load { buffer, .. } = value.kind else { return None };
            Some(self.buffers[buffer])
        })
    }

    /// The index expression of a value, if it has one.
    pub fn index_of(&self, value: ValueId) -> Option<&Affine> {
        match &self.values[value].kind {
            ValueKind::Load { address, .. } => Some(address),
            ValueKind::Index(of) | ValueKind::InRange { of, .. } | ValueKind::Random { element: of, .. } => {
                Some(of)
            }
            ValueKind::Constant(_)
            | ValueKind::Unary(..)
            | ValueKind::Binary(..)
            | ValueKind::Compare(..)
            | ValueKind::Logical(..)
            | ValueKind::Select(..)
            | ValueKind::Cast(_)
            | ValueKind::Reduced(_) => None,
        }
    }

    /// Whether a block primitive computes this value: a call over a block of elements.
    pub fn is_block_op(&self, value: ValueId) -> bool {
        match &self.values[value].kind {
            ValueKind::Unary(op, _) => is_transcendental(*op),
            ValueKind::Binary(op, ..) => self.values[value].dtype.is_float() && is_block_binary(*op),
            // One call draws neighbouring words.
            ValueKind::Random { element, .. } => self.is_contiguous(element),
            ValueKind::Load { .. }
            | ValueKind::Constant(_)
            | ValueKind::Index(_)
            | ValueKind::InRange { .. }
            | ValueKind::Compare(..)
            | ValueKind::Logical(..)
            | ValueKind::Select(..)
            | ValueKind::Cast(_)
            | ValueKind::Reduced(_) => false,
        }
    }

    /// For every value, whether it changes along any of these axes.
    pub fn varies_along(&self, axis: impl Fn(usize) -> bool + Copy) -> Vec<bool> {
        // A reduction's result changes along the axes that its operand changes along and that are not reduced.
        let kept = self.varies(|a| axis(a) && self.axes[a] != AxisKind::Reduced, &[]);
        self.varies(axis, &kept)
    }

    fn varies(&self, axis: impl Fn(usize) -> bool + Copy, kept: &[bool]) -> Vec<bool> {
        let mut varies: Vec<bool> = Vec::with_capacity(self.values.len());
        for (id, value) in self.values.iter().enumerate() {
            let by_index = self.index_of(id).is_some_and(|of| self.affine_varies(of, axis, &varies));
            let by_operand = self.operands(id).iter().any(|&operand| varies[operand]);
            let by_reduction = match value.kind {
                ValueKind::Reduced(i) => {
                    let of = if kept.is_empty() { &varies } else { kept };
                    let reduction = &self.reductions[i];
                    of[reduction.operand] || reduction.extras().iter().any(|&extra| of[extra])
                }
                _ => false,
            };
            varies.push(by_index || by_operand || by_reduction);
        }
        varies
    }

    /// Whether an index expression changes along any of these axes, given which values do.
    pub fn affine_varies(&self, of: &Affine, axis: impl Fn(usize) -> bool + Copy, values: &[bool]) -> bool {
        of.terms.iter().any(|&(variable, _)| match self.variables.definition(variable) {
            None => axis(variable),
            Some(
                Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. },
            ) => self.affine_varies(of, axis, values),
            // A reduction's result is the same for the whole row, whatever it was computed from.
            Some(Derived::Loaded { value, .. }) => values[*value],
        })
    }

    /// Whether an index expression moves by one along the vector axis. What is loaded may move by anything.
    fn is_contiguous(&self, of: &Affine) -> bool {
        let axis = self.vector_axis;
        let rest = of.without(axis);
        of.coefficient(axis) == 1 && !self.affine_varies(&rest, |a| a == axis, &vec![true; self.values.len()])
    }

    /// The axes of one kind, outermost first.
    pub fn axes_of(&self, kind: AxisKind) -> Vec<usize> {
        (0..self.axes.len()).filter(|&axis| self.axes[axis] == kind).collect()
    }
}

/// Whether a block primitive computes this op on floats.
pub fn is_transcendental(op: UnaryOp) -> bool {
    match op {
        UnaryOp::Exp
        | UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tan
        | UnaryOp::Asin
        | UnaryOp::Acos
        | UnaryOp::Atan
        | UnaryOp::Sinh
        | UnaryOp::Cosh
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid
        | UnaryOp::Erf => true,
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Reciprocal => false,
    }
}

/// Whether a block primitive computes this op on floats.
pub fn is_block_binary(op: BinaryOp) -> bool {
    match op {
        BinaryOp::Pow | BinaryOp::Atan2 | BinaryOp::Rem => true,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Max | BinaryOp::Min => {
            false
        }
    }
}

//! Splits an axis where index expressions divide it, a reduced one too: the row of a group norm is one channel after
//! another.
//!
//! A value of shape `[n, 384]` that is put together from three of `[n, 4, 32]` is read at `j / 32 mod 4` and `j mod 32`, from
//! one of three places: element by element. As two axes of 12 and 32 the same walk has neither divisions nor conditions
//! along the inner one, and vectors can run along it.
//!
//! With `j = g * a + b`, where `b` is the new axis of extent `g` and everything else in an expression is a multiple of `g`:
//!
//! - `(g * x + b) / (g * k) = x / k`, and the remainder is `g * (x mod k) + b`;
//! - `clamp(g * x + b, g * m - 1) = g * clamp(x, m - 1) + b` inside of the range. Outside of it the result is another index in
//!   the range, and a clamped index stands where a condition throws away what is read outside;
//! - `g * l <= g * x + b < g * h` is `l <= x < h`.

use super::affine::{Affine, Derived, Variable, Variables};
use super::body::*;
use super::layout;

/// The least extent of the inner axis: a walk of a few elements is all overhead.
const LEAST: i64 = 16;
/// The same where block primitives are called on walks.
const LEAST_OF_BLOCKS: i64 = 128;
/// The same along a reduced axis, which each reduction after the first walks again.
const LEAST_OF_REDUCED_BLOCKS: i64 = 64;

/// Splits the last parallel and the last reduced axis where that makes more accesses contiguous.
pub fn split(body: &mut LoopBody) {
    if body.accumulate.is_some() {
        return;
    }
    split_last(body, AxisKind::Parallel);
    // A search keeps one index, a running sum one place.
    if body.reductions.iter().all(|reduction| matches!(reduction.kind, ReductionKind::Fold(_))) {
        split_last(body, AxisKind::Reduced);
    }
}

fn split_last(body: &mut LoopBody, kind: AxisKind) {
    let Some(&axis) = body.axes_of(kind).last() else { return };
    let Some(inner) = inner_extent(body, axis) else { return };
    let has_blocks = (0..body.values.len()).any(|id| body.is_block_op(id));
    let least = match kind {
        AxisKind::Parallel if has_blocks => LEAST_OF_BLOCKS,
        AxisKind::Reduced if has_blocks => LEAST_OF_REDUCED_BLOCKS,
        AxisKind::Parallel | AxisKind::Reduced | AxisKind::Ordered => LEAST,
    };
    if inner < least || inner == body.extent(axis) as i64 {
        return;
    }
    let split = Split::new(body, axis, inner).apply(body);
    if layout::strided_accesses(&split, axis + 1) < layout::strided_accesses(body, axis) {
        *body = split;
    }
}

/// The greatest extent that all divisions, limits and conditions along the axis are multiples of.
fn inner_extent(body: &LoopBody, axis: usize) -> Option<i64> {
    let mut inner = body.extent(axis) as i64;
    let mut found = false;
    let mut add = |of: &Affine, limits: &[i64]| {
        if of.coefficient(axis) == 1 {
            found = true;
            let rest = of.without(axis);
            let others = rest.terms.iter().map(|term| term.1).chain([rest.offset]);
            inner = others.chain(limits.iter().copied()).fold(inner, gcd);
        }
    };
    for derived in &body.variables.derived {
        match derived {
            Derived::Quotient { of, by } | Derived::Remainder { of, by } => {
                add(of, &[*by]);
                // A clamped index is divided as what it is made from is.
                if let [(variable, 1)] = of.terms[..]
                    && let Some(Derived::Clamp { of, .. }) = body.variables.definition(variable)
                {
                    add(of, &[*by]);
                }
            }
            Derived::Clamp { of, max } => add(of, &[max + 1]),
            Derived::Loaded { .. } => {}
        }
    }
    for value in &body.values {
        if let ValueKind::InRange { of, low, high } = &value.kind {
            add(of, &[multiple_or_none(*low), multiple_or_none(*high)]);
        }
    }
    found.then_some(inner)
}

/// A limit that is none is a multiple of everything, as 0 is.
fn multiple_or_none(limit: i64) -> i64 {
    if matches!(limit, i64::MIN | i64::MAX) { 0 } else { limit }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// The variables after the split.
struct Split {
    /// The axis that becomes two.
    axis: usize,
    /// The extent of the inner one.
    inner: i64,
    variables: Variables,
    /// What each variable was, in the new ones.
    old: Vec<Affine>,
}

impl Split {
    fn new(body: &LoopBody, axis: usize, inner: i64) -> Split {
        let mut extents = body.variables.extents.clone();
        extents[axis] = (body.extent(axis) as i64 / inner) as usize;
        extents.insert(axis + 1, inner as usize);
        let moved = |v: Variable| if v > axis { v + 1 } else { v };
        let mut split = Split { axis, inner, variables: Variables::new(&extents), old: Vec::new() };
        for v in 0..body.axes.len() {
            let new = Affine::variable(moved(v));
            let both = || Affine::variable(axis).times(inner).plus(&Affine::variable(axis + 1));
            split.old.push(if v == axis { both() } else { new });
        }
        for derived in &body.variables.derived {
            let new = split.derived(derived);
            split.old.push(new);
        }
        split
    }

    /// An expression in the new variables.
    fn affine(&self, of: &Affine) -> Affine {
        let start = Affine::constant(of.offset);
        of.terms.iter().fold(start, |sum, &(v, c)| sum.plus(&self.old[v].times(c)))
    }

    /// `x` of `g * x + b`, if the expression is that.
    fn outer(&self, of: &Affine) -> Option<Affine> {
        let rest = of.without(self.axis + 1);
        let whole = of.coefficient(self.axis + 1) == 1
            && rest.offset % self.inner == 0
            && rest.terms.iter().all(|term| term.1 % self.inner == 0);
        whole.then(|| Affine {
            offset: rest.offset / self.inner,
            terms: rest.terms.iter().map(|&(v, c)| (v, c / self.inner)).collect(),
        })
    }

    fn with_inner(&self, outer: &Affine) -> Affine {
        outer.times(self.inner).plus(&Affine::variable(self.axis + 1))
    }

    fn derived(&mut self, derived: &Derived) -> Affine {
        match derived {
            Derived::Quotient { of, by } => self.divide(of, *by).0,
            Derived::Remainder { of, by } => self.divide(of, *by).1,
            Derived::Clamp { of, max } => {
                let of = self.affine(of);
                match self.outer(&of) {
                    Some(outer) if (max + 1) % self.inner == 0 => {
                        let clamped = self.variables.clamp(&outer, (max + 1) / self.inner - 1);
                        self.with_inner(&clamped)
                    }
                    _ => self.variables.clamp(&of, *max),
                }
            }
            Derived::Loaded { value, max } => {
                self.variables.derive(Derived::Loaded { value: *value, max: *max })
            }
        }
    }

    fn divide(&mut self, of: &Affine, by: i64) -> (Affine, Affine) {
        let of = self.affine(of);
        match self.outer(&of) {
            Some(outer) if by % self.inner == 0 => {
                let (quotient, remainder) = self.variables.divide(&outer, by / self.inner);
                (quotient, self.with_inner(&remainder))
            }
            _ => self.variables.divide(&of, by),
        }
    }

    fn apply(self, body: &LoopBody) -> LoopBody {
        let mut new = body.clone();
        new.axes.insert(self.axis + 1, body.axes[self.axis]);
        for value in &mut new.values {
            if let ValueKind::InRange { of, low, high } = &mut value.kind
                && let Some(outer) = self.outer(&self.affine(of))
                && multiple_or_none(*low) % self.inner == 0
                && multiple_or_none(*high) % self.inner == 0
            {
                let narrowed =
                    |limit: i64| if multiple_or_none(limit) == 0 { limit } else { limit / self.inner };
                value.kind = ValueKind::InRange { of: outer, low: narrowed(*low), high: narrowed(*high) };
            } else if let Some(of) = value.kind.index_mut() {
                *of = self.affine(of);
            }
        }
        new.stores.iter_mut().for_each(|store| store.address = self.affine(&store.address));
        for reduction in &mut new.reductions {
            if let ReductionKind::Arg(_, of) = &mut reduction.kind {
                *of = self.affine(of);
            }
        }
        new.variables = self.variables;
        new
    }
}

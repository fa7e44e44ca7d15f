//! Sums of products named by axes: Einstein's notation, and what is short to say in it.

use super::Tensor;
use super::convert::{Checked, broadcast_shapes};
use super::operand::promote_types;
use kiln_ir::op::Dot;
use kiln_ir::{Axes, DType, Op, Shape, TypeError};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt;

/// The name of an axis: a letter, or a place in the ellipsis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// Counted from the last axis of the ellipsis: 0 is the last.
    Ellipsis(usize),
    Letter(char),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Ellipsis(from_last) => write!(f, "axis -{} of the ellipsis", from_last + 1),
            Label::Letter(letter) => write!(f, "axis `{letter}`"),
        }
    }
}

/// A tensor whose axes are named, each name once.
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// Sum of products, as `torch.einsum`: letters name axes, axes of one name are multiplied along each other, and those
/// that the result does not name are summed over. `...` stands for axes that broadcast. Without `->`, the result has the
/// letters that occur once, in alphabetical order.
///
/// Types: promoted to one of numbers. Errors: the equation does not fit the operands; extents of one name differ.
///
/// # Panics
/// When there are no operands: nothing says which trace the result would belong to.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("einsum");
/// let (q, k) = (tracer.input("q", f32(&[8, 5, 64])), tracer.input("k", f32(&[8, 7, 64])));
/// assert_eq!(einsum("btd,bsd->bts", &[&q, &k]).extents(), [8, 5, 7]);
/// ```
#[track_caller]
pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
    let first = operands.first().expect("`einsum` of no tensors");
    first.within("einsum", || match sum_of_products(equation, operands) {
        Ok(result) | Err(result) => result,
    })
}

fn sum_of_products(equation: &str, operands: &[&Tensor]) -> Checked<Tensor> {
    let refuse = |problem: String| refuse(operands, problem);
    let (left, right) = equation.split_once("->").map_or((equation, None), |(l, r)| (l, Some(r)));
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() {
        return Err(refuse(format!(
            "`{equation}` is for {} operands, {} were given",
            terms.len(),
            operands.len()
        )));
    }
    let mut named = Vec::new();
    for (term, operand) in terms.iter().zip(operands) {
        let labels = labels(term, operand.rank()).map_err(&refuse)?;
        named.push((operand, labels));
    }
    let all = || named.iter().flat_map(|(_, labels)| labels).copied();
    let n_ellipsis = all().filter_map(|l| if let Label::Ellipsis(i) = l { Some(i + 1) } else { None }).max();
    let result = match right {
        Some(right) => {
            let n_letters = right.chars().filter(|c| c.is_alphabetic()).count();
            let n = if right.contains("...") { n_ellipsis.unwrap_or(0) } else { 0 };
            labels_of_result(right, n_letters + n).map_err(&refuse)?
        }
        None => implicit_result(all(), n_ellipsis.unwrap_or(0)),
    };
    let extents = extents(&named).map_err(&refuse)?;
    if let Some(missing) = result.iter().find(|label| !extents.contains_key(label)) {
        return Err(refuse(format!("the result names {missing}, which no operand has")));
    }
    let dtype = operands.iter().fold(DType::Bool, |dtype, operand| promote_types(dtype, operand.dtype()));
    let mut rest: Vec<Labelled> = named
        .into_iter()
        .map(|(operand, labels)| Labelled::new(&operand.cast(dtype), labels, &extents))
        .collect();
    let mut total = rest.remove(0);
    while !rest.is_empty() {
        let next = rest.remove(0);
        let is_kept =
            |label| result.contains(&label) || rest.iter().any(|other| other.labels.contains(&label));
        total = total.product(next, is_kept);
    }
    Ok(total.summed(|label| result.contains(&label)).ordered(&result))
}

/// A mistake, with the shapes of all operands.
#[track_caller]
fn refuse(operands: &[&Tensor], problem: String) -> Tensor {
    const ROLES: [&str; 4] = ["operand 1", "operand 2", "operand 3", "operand 4"];
    let problem = TypeError::Attribute { op: "einsum", operand: operands[0].ty().clone(), problem };
    let role = |i: usize| ROLES.get(i).copied().unwrap_or("operand");
    let notes: Vec<(&'static str, &Tensor)> =
        operands.iter().enumerate().map(|(i, &x)| (role(i), x)).collect();
    operands[0].tracer().refuse(problem.into(), &notes)
}

/// The labels of the axes of an operand.
fn labels(term: &str, rank: usize) -> Result<Vec<Label>, String> {
    let term = term.trim();
    let n_letters = term.chars().filter(|c| c.is_alphabetic()).count();
    match (rank.checked_sub(n_letters), term.contains("...")) {
        (Some(n_ellipsis), true) => parse(term, n_ellipsis),
        (Some(0), false) => parse(term, 0),
        _ => Err(format!("`{term}` names {n_letters} axes of {rank}")),
    }
}

fn labels_of_result(term: &str, rank: usize) -> Result<Vec<Label>, String> {
    let labels = labels(term, rank)?;
    match labels.iter().enumerate().find(|(i, label)| labels[..*i].contains(label)) {
        Some((_, label)) => Err(format!("the result names {label} twice")),
        None => Ok(labels),
    }
}

fn parse(term: &str, n_ellipsis: usize) -> Result<Vec<Label>, String> {
    let mut labels = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            labels.extend((0..n_ellipsis).rev().map(Label::Ellipsis));
            rest = after;
            continue;
        }
        if c.is_alphabetic() {
            labels.push(Label::Letter(c));
        } else if !c.is_whitespace() {
            return Err(format!("`{c}` in `{term}` is neither a letter nor part of an ellipsis"));
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(labels)
}

/// The ellipsis, then the letters that occur once, in alphabetical order.
fn implicit_result(all: impl Iterator<Item = Label>, n_ellipsis: usize) -> Vec<Label> {
    let mut count: BTreeMap<Label, usize> = BTreeMap::new();
    all.for_each(|label| *count.entry(label).or_default() += 1);
    let once = count.into_iter().filter(|(label, n)| matches!(label, Label::Letter(_)) && *n == 1);
    (0..n_ellipsis).rev().map(Label::Ellipsis).chain(once.map(|(label, _)| label)).collect()
}

/// The extent of each name; 1 broadcasts.
fn extents(named: &[(&&Tensor, Vec<Label>)]) -> Result<BTreeMap<Label, usize>, String> {
    let mut extents = BTreeMap::new();
    for (operand, labels) in named {
        for (&label, &extent) in labels.iter().zip(operand.extents()) {
            let known = extents.entry(label).or_insert(extent);
            match broadcast_shapes(&[*known].into(), &[extent].into()) {
                Some(both) => *known = both[0],
                None => return Err(format!("{label} is {known} in one operand and {extent} in another")),
            }
        }
    }
    Ok(extents)
}

impl Labelled {
    /// An operand in the full extents of its axes; of axes with one name, the diagonal.
    fn new(operand: &Tensor, labels: Vec<Label>, extents: &BTreeMap<Label, usize>) -> Labelled {
        let full: Shape = labels.iter().map(|label| extents[label]).collect();
        let mut this = Labelled { tensor: operand.broadcast_to(full), labels };
        while let Some((first, second)) = this.repeated() {
            let shape = this.tensor.shape().clone();
            let places = |axis| this.tensor.iota(DType::I32, shape.clone(), axis);
            let diagonal = places(first).eq(places(second)).select(&this.tensor, this.tensor.zeros_like());
            this.tensor = diagonal.sum(second as i64).cast(operand.dtype());
            this.labels.remove(second);
        }
        this
    }

    /// Two axes of one name.
    fn repeated(&self) -> Option<(usize, usize)> {
        (0..self.labels.len()).find_map(|second| {
            let first = self.labels[..second].iter().position(|&label| label == self.labels[second])?;
            Some((first, second))
        })
    }

    fn axis(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|&l| l == label)
    }

    /// Sums over the axes that are not kept.
    fn summed(self, is_kept: impl Fn(Label) -> bool) -> Labelled {
        let gone: Vec<i64> =
            (0..self.labels.len()).filter(|&a| !is_kept(self.labels[a])).map(|a| a as i64).collect();
        if gone.is_empty() {
            return self;
        }
        let tensor = self.tensor.sum(&gone[..]).cast(self.tensor.dtype());
        Labelled { tensor, labels: self.labels.into_iter().filter(|&label| is_kept(label)).collect() }
    }

    /// The product with another, summed over the axes that are not kept.
    fn product(self, other: Labelled, is_kept: impl Fn(Label) -> bool) -> Labelled {
        // What only one of them has is summed before the product: less is multiplied.
        let lhs = self.summed(|label| is_kept(label) || other.axis(label).is_some());
        let rhs = other.summed(|label| is_kept(label) || lhs.axis(label).is_some());
        let mut dot = Dot::default();
        let mut labels = Vec::new();
        for (axis, &label) in lhs.labels.iter().enumerate() {
            match rhs.axis(label) {
                Some(other) if is_kept(label) => {
                    dot.batch.push((axis, other));
                    labels.push(label);
                }
                Some(other) => dot.contract.push((axis, other)),
                None => {}
            }
        }
        labels.extend(lhs.labels.iter().filter(|&&label| rhs.axis(label).is_none()));
        labels.extend(rhs.labels.iter().filter(|&&label| lhs.axis(label).is_none()));
        Labelled { tensor: lhs.tensor.record(Op::Dot(dot), &[&rhs.tensor]), labels }
    }

    /// The tensor with its axes in this order.
    fn ordered(&self, labels: &[Label]) -> Tensor {
        let permutation: Axes = labels.iter().filter_map(|&label| self.axis(label)).collect();
        self.tensor.permute_exact(permutation)
    }
}

impl Tensor {
    /// Sum of products over pairs of axes: `axes` of `self` and `rhs_axes` of `rhs`, in their order (PyTorch's
    /// `tensordot`). The result has the other axes of `self`, then those of `rhs`.
    ///
    /// Types: promoted to one of numbers. Errors: extents differ; other numbers of axes; an axis named twice.
    #[track_caller]
    pub fn tensordot(&self, rhs: &Tensor, axes: impl AsRef<[i64]>, rhs_axes: impl AsRef<[i64]>) -> Tensor {
        let (axes, rhs_axes) = (axes.as_ref(), rhs_axes.as_ref());
        if axes.len() != rhs_axes.len() {
            return self
                .refuse("tensordot", format!("{} axes do not pair with {}", axes.len(), rhs_axes.len()));
        }
        let mut contract = SmallVec::new();
        let (mut lhs_shape, mut rhs_shape) = (self.shape().clone(), rhs.shape().clone());
        for (&l, &r) in axes.iter().zip(rhs_axes) {
            match (self.axis("tensordot", l), rhs.axis("tensordot", r)) {
                (Ok(l), Ok(r)) => {
                    contract.push((l, r));
                    // An axis of extent 1 is repeated.
                    if self.shape()[l] == 1 {
                        lhs_shape = lhs_shape.with_extent(l, rhs.shape()[r]);
                    } else if rhs.shape()[r] == 1 {
                        rhs_shape = rhs_shape.with_extent(r, self.shape()[l]);
                    }
                }
                (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
            }
        }
        let dtype = promote_types(self.dtype(), rhs.dtype());
        let dot = Dot { batch: SmallVec::new(), contract };
        self.within("tensordot", || {
            let rhs = rhs.cast(dtype).broadcast_to(rhs_shape);
            self.cast(dtype).broadcast_to(lhs_shape).record(Op::Dot(dot), &[&rhs])
        })
    }

    /// Attention: `softmax(q k' / sqrt(width) + mask) v`, over the last two axes; the others are batches and broadcast.
    ///
    /// Shapes: `self` (the queries): `[.., t, width]`, `key: [.., s, width]`, `value: [.., s, n]` -> `[.., t, n]`.
    /// `mask` broadcasts to `[.., t, s]`: truth values say what is attended to, floats are added. With `causal`, query
    /// `i` attends to keys up to `i`. Types: floats. Errors: extents that do not fit.
    ///
    /// Source: Vaswani and others, *Attention Is All You Need*, 2017, section 3.2.1.
    #[track_caller]
    pub fn attention(&self, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let width = self.extents().last().copied().unwrap_or(1) as f64;
        self.called("attention", || {
            self.attention_scaled(key, value, mask, causal, width.sqrt().recip(), 0.0)
        })
    }

    /// As [`attention`](Tensor::attention), with another factor than `1 / sqrt(width)`, and with a share of the weights
    /// dropped in training. Heads (axis -3) of keys and values may be fewer than those of queries, by a whole factor: each
    /// then serves as many neighbouring queries.
    ///
    /// Source of the grouping: Ainslie and others, *GQA: Training Generalized Multi-Query Transformer Models*, 2023.
    #[track_caller]
    pub fn attention_scaled(
        &self,
        key: &Tensor,
        value: &Tensor,
        mask: Option<&Tensor>,
        causal: bool,
        scale: f64,
        dropout: f64,
    ) -> Tensor {
        self.called("attention_scaled", || self.attended(key, value, mask, causal, scale, dropout).0)
    }

    /// Attention, and its weights.
    #[track_caller]
    pub(crate) fn attended(
        &self,
        key: &Tensor,
        value: &Tensor,
        mask: Option<&Tensor>,
        causal: bool,
        scale: f64,
        dropout: f64,
    ) -> (Tensor, Tensor) {
        self.within("attention", || {
            if let Err(poisoned) = self.require_float("attention") {
                return (poisoned.clone(), poisoned);
            }
            if self.rank() < 2 || key.rank() < 2 || value.rank() < 2 {
                let poisoned = self.refuse("attention", "queries, keys and values need at least two axes");
                return (poisoned.clone(), poisoned);
            }
            let (key, value) = (key.repeated_heads(self), value.repeated_heads(self));
            let mut scores = (self * scale).matmul(&key.transpose(-1, -2));
            if causal && scores.rank() >= 2 {
                let (rows, columns) = (scores.rank() - 2, scores.rank() - 1);
                let place = |axis| scores.iota(DType::I32, scores.shape().clone(), axis);
                scores = place(columns).le(place(rows)).select(&scores, f64::NEG_INFINITY);
            }
            scores = match mask {
                Some(mask) if mask.dtype() == DType::Bool => mask.select(&scores, f64::NEG_INFINITY),
                Some(mask) => scores + mask,
                None => scores,
            };
            let weights = scores.softmax(-1).dropout(dropout);
            (weights.matmul(&value), weights)
        })
    }

    /// Heads (axis -3) of keys or values, each as often as there are queries for it.
    fn repeated_heads(&self, queries: &Tensor) -> Tensor {
        let heads = |x: &Tensor| x.rank().checked_sub(3).map_or(1, |axis| x.shape()[axis]);
        let (n, own) = (heads(queries), heads(self));
        if own <= 1 || n == own || !n.is_multiple_of(own) {
            return self.clone();
        }
        self.repeat_interleave(&[n / own], -3)
    }
}

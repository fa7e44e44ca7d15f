//! Loop bodies as text, for tests.
//!
//! ```text
//! parallel i0: 5, reduced i1: 16 (vectors)
//! v0: f32 = %x[16*i0 + i1]
//! r0 = sum v0
//! v1: f32 = r0
//! %y[i0] = v1 per row
//! ```

use super::affine::{Affine, Derived, Variables};
use super::body::*;
use kiln_ir::{Graph, Names};
use std::fmt::Write;

/// A kernel's loop body, line by line.
pub fn body(graph: &Graph, body: &LoopBody) -> String {
    let printer = Printer { names: Names::new(graph), body };
    let mut text = printer.axes();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string cannot fail");
    for (i, derived) in body.variables.derived.iter().enumerate() {
        line(format!("d{i} = {}", printer.derived(derived)));
    }
    for (id, value) in body.values.iter().enumerate() {
        let phase = if value.phase == 0 { String::new() } else { format!(" in phase {}", value.phase) };
        line(format!("v{id}: {} = {}{phase}", value.dtype, printer.value(&value.kind)));
    }
    for (i, reduction) in body.reductions.iter().enumerate() {
        line(format!("r{i} = {} in phase {}", printer.reduction(reduction), reduction.phase));
    }
    for store in &body.stores {
        let when = if store.per_row { "per row".to_string() } else { format!("in phase {}", store.phase) };
        let place = printer.element(store.buffer, &store.address);
        line(format!("{place} = v{} {when}", store.value));
    }
    if let Some(accumulate) = &body.accumulate {
        let place = printer.element(accumulate.buffer, &accumulate.address);
        let when = if accumulate.per_row { " per row" } else { "" };
        line(format!("{place} += v{} if v{}{when}", accumulate.value, accumulate.condition));
    }
    text
}

struct Printer<'a> {
    names: Names,
    body: &'a LoopBody,
}

impl Printer<'_> {
    fn axes(&self) -> String {
        let axis = |(i, kind): (usize, &AxisKind)| {
            let kind = match kind {
                AxisKind::Parallel => "parallel",
                AxisKind::Ordered => "ordered",
                AxisKind::Reduced => "reduced",
            };
            let vectors = if i == self.body.vector_axis { " (vectors)" } else { "" };
            format!("{kind} i{i}: {}{vectors}", self.body.extent(i))
        };
        let axes: Vec<String> = self.body.axes.iter().enumerate().map(axis).collect();
        format!("{}\n", axes.join(", "))
    }

    fn derived(&self, derived: &Derived) -> String {
        let of = |of| affine(&self.body.variables, of);
        match derived {
            Derived::Quotient { of: x, by } => format!("({}) / {by}", of(x)),
            Derived::Remainder { of: x, by } => format!("({}) mod {by}", of(x)),
            Derived::Clamp { of: x, max } => format!("{} clamped to 0..={max}", of(x)),
            Derived::Loaded { value, max } => format!("v{value} clamped to 0..={max}"),
        }
    }

    fn element(&self, buffer: usize, address: &Affine) -> String {
        let name = self.names.get(self.body.buffers[buffer]);
        format!("%{name}[{}]", affine(&self.body.variables, address))
    }

    fn value(&self, kind: &ValueKind) -> String {
        let of = |of| affine(&self.body.variables, of);
        match kind {
            ValueKind::Load { buffer, address } => self.element(*buffer, address),
            ValueKind::Constant(value) => value.to_string(),
            ValueKind::Index(index) => of(index),
            ValueKind::InRange { of: index, low: i64::MIN, high } => format!("{} < {high}", of(index)),
            ValueKind::InRange { of: index, low, high } => format!("{low} <= {} < {high}", of(index)),
            ValueKind::Unary(op, x) => format!("{} v{x}", op.name()),
            ValueKind::Binary(op, x, y) => format!("{} v{x}, v{y}", op.name()),
            ValueKind::Compare(op, x, y) => format!("{} v{x}, v{y}", op.name()),
            ValueKind::Logical(op, xs) => {
                let xs: Vec<String> = xs.iter().map(|x| format!("v{x}")).collect();
                format!("{} {}", op.name(), xs.join(", "))
            }
            ValueKind::Select(condition, x, y) => format!("select v{condition}, v{x}, v{y}"),
            ValueKind::Cast(x) => format!("cast v{x}"),
            ValueKind::Reduced(i) => format!("r{i}"),
            ValueKind::Random { key, counter, element } => {
                format!("random v{key}, v{counter} at {}", of(element))
            }
        }
    }

    fn reduction(&self, reduction: &Reduction) -> String {
        let operand = reduction.operand;
        match &reduction.kind {
            ReductionKind::Fold(op) => format!("{} v{operand}", op.name()),
            ReductionKind::Arg(op, of) => {
                format!("{} v{operand} at {}", op.name(), affine(&self.body.variables, of))
            }
            ReductionKind::Pick { payload, inside, otherwise } => {
                let condition = inside.map_or(String::new(), |inside| format!(" if v{inside}"));
                format!("pick v{payload} at greatest v{operand}{condition}, else {otherwise}")
            }
            ReductionKind::Running => format!("running_sum v{operand}"),
        }
    }
}

/// An index expression: `i` for axes, `d` for derived variables.
pub fn affine(variables: &Variables, of: &Affine) -> String {
    let name = |variable: usize| match variable.checked_sub(variables.extents.len()) {
        None => format!("i{variable}"),
        Some(derived) => format!("d{derived}"),
    };
    let mut terms: Vec<String> = (of.terms.iter())
        .map(|&(variable, c)| if c == 1 { name(variable) } else { format!("{c}*{}", name(variable)) })
        .collect();
    if of.offset != 0 || terms.is_empty() {
        terms.push(of.offset.to_string());
    }
    terms.join(" + ")
}

//! Indices and addresses. Each integer expression is computed once where its value is known: copies of an unrolled loop
//! and buffers of the same shape share most of them, and what Cranelift need not find to be equal it compiles in less
//! time.

use super::{At, Emitter, Slot};
use crate::codegen::ops::Rep;
use crate::codegen::walk::Sink;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};
use kiln_ir::DType;
use kiln_passes::loops::body::AxisKind;
use kiln_passes::loops::{Affine, Derived, ValueId, ValueKind};
use std::collections::HashMap;

/// An operation on 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Integer {
    Constant(i64),
    Sum(Value, Value),
    Difference(Value, Value),
    Product(Value, Value),
    ShiftedLeft(Value, Value),
    Quotient(Value, Value),
    Remainder(Value, Value),
    Greater(Value, Value),
    Lesser(Value, Value),
}

/// The integers that were computed in the blocks that lead to the present place.
#[derive(Default)]
pub struct Known {
    values: HashMap<Integer, Value>,
    /// In the order in which they were computed.
    order: Vec<Integer>,
}

impl Known {
    /// A point to [forget](Known::forget_since) back to.
    pub fn mark(&self) -> usize {
        self.order.len()
    }

    /// Forgets what was computed since: the code that comes now may be reached without it.
    pub fn forget_since(&mut self, mark: usize) {
        for integer in self.order.drain(mark..) {
            self.values.remove(&integer);
        }
    }
}

impl Emitter<'_, '_> {
    fn integer(&mut self, integer: Integer) -> Value {
        if let Some(&value) = self.known.values.get(&integer) {
            return value;
        }
        let ins = self.b.ins();
        let value = match integer {
            Integer::Constant(value) => ins.iconst(I64, value),
            Integer::Sum(x, y) => ins.iadd(x, y),
            Integer::Difference(x, y) => ins.isub(x, y),
            Integer::Product(x, y) => ins.imul(x, y),
            Integer::ShiftedLeft(x, y) => ins.ishl(x, y),
            Integer::Quotient(x, y) => ins.udiv(x, y),
            Integer::Remainder(x, y) => ins.urem(x, y),
            Integer::Greater(x, y) => ins.smax(x, y),
            Integer::Lesser(x, y) => ins.smin(x, y),
        };
        self.known.values.insert(integer, value);
        self.known.order.push(integer);
        value
    }

    pub fn constant(&mut self, value: i64) -> Value {
        self.integer(Integer::Constant(value))
    }

    pub fn plus(&mut self, x: Value, y: Value) -> Value {
        self.integer(Integer::Sum(x, y))
    }

    pub fn plus_constant(&mut self, x: Value, constant: i64) -> Value {
        if constant == 0 {
            return x;
        }
        let constant = self.constant(constant);
        self.plus(x, constant)
    }

    pub fn minus(&mut self, x: Value, y: Value) -> Value {
        self.integer(Integer::Difference(x, y))
    }

    fn times(&mut self, x: Value, factor: i64) -> Value {
        if factor == 1 {
            return x;
        }
        let factor = self.constant(factor);
        self.integer(Integer::Product(x, factor))
    }

    /// `x / by` of integers that are not negative.
    pub fn quotient(&mut self, x: Value, by: i64) -> Value {
        let by = self.constant(by);
        self.integer(Integer::Quotient(x, by))
    }

    /// `x mod by` of integers that are not negative.
    pub fn remainder(&mut self, x: Value, by: i64) -> Value {
        let by = self.constant(by);
        self.integer(Integer::Remainder(x, by))
    }

    /// The lesser of two.
    pub fn lesser(&mut self, x: Value, y: Value) -> Value {
        self.integer(Integer::Lesser(x, y))
    }

    fn clamp(&mut self, index: Value, max: i64) -> Value {
        let (low, high) = (self.constant(0), self.constant(max));
        let index = self.integer(Integer::Greater(index, low));
        self.lesser(index, high)
    }

    /// Address in a slot of the element at a place (but for the place's constant offset).
    pub fn slot_address(&mut self, at: &At, slot: Slot, dtype: DType) -> Value {
        let from_start = if slot.whole_row {
            let row = self.row_position();
            self.plus(row, at.position)
        } else {
            self.minus(at.position, at.block)
        };
        self.element(slot.address, from_start, dtype)
    }

    /// Position in the reduced axes, in row-major order, where the vector axis is at 0.
    fn row_position(&mut self) -> Value {
        let body = self.body;
        let mut position = Affine::default();
        let mut stride = 1;
        for axis in (0..body.axes.len()).rev() {
            if body.axes[axis] == AxisKind::Reduced {
                if axis != body.vector_axis {
                    position = position.plus(&Affine::variable(axis).times(stride));
                }
                stride *= body.extent(axis) as i64;
            }
        }
        self.index_value(None, &position)
    }

    /// Address of element `index` from a start.
    pub fn element(&mut self, start: Value, index: Value, dtype: DType) -> Value {
        let shift = dtype.n_bytes().trailing_zeros() as i64;
        let bytes = if shift == 0 {
            index
        } else {
            let shift = self.constant(shift);
            self.integer(Integer::ShiftedLeft(index, shift))
        };
        self.plus(start, bytes)
    }

    /// The value of an index expression at a place (`None`: with the vector axis at 0).
    pub fn index_value(&mut self, at: Option<&mut At>, of: &Affine) -> Value {
        let mut at = at;
        let mut sum: Option<Value> = None;
        for &(variable, coefficient) in &of.terms {
            let value = self.variable(at.as_deref_mut(), variable);
            let Some(value) = value else { continue };
            let term = self.times(value, coefficient);
            sum = Some(match sum {
                Some(sum) => self.plus(sum, term),
                None => term,
            });
        }
        match sum {
            Some(sum) => self.plus_constant(sum, of.offset),
            None => self.constant(of.offset),
        }
    }

    /// The value of a variable; `None` for the vector axis without a place.
    fn variable(&mut self, at: Option<&mut At>, variable: usize) -> Option<Value> {
        if let Some(&value) = self.overrides.get(&variable) {
            return Some(value);
        }
        let Some(derived) = self.body.variables.definition(variable) else {
            if variable != self.body.vector_axis {
                return Some(self.index[variable].expect("an index is used inside its loop"));
            }
            let at = at?;
            return Some(self.plus_constant(at.position, at.offset));
        };
        let mut none = None;
        let mut at = at;
        Some(match derived {
            Derived::Quotient { of, by } => {
                let of = self.index_value(at, of);
                self.quotient(of, *by)
            }
            Derived::Remainder { of, by } => {
                let of = self.index_value(at, of);
                self.remainder(of, *by)
            }
            Derived::Clamp { of, max } => {
                let of = self.index_value(at, of);
                self.clamp(of, *max)
            }
            Derived::Loaded { value, max } => {
                let dtype = self.body.values[*value].dtype;
                let loaded = match (self.varies[*value], at.as_mut().or(none.as_mut())) {
                    (true, Some(at)) => self.varying(at, *value),
                    _ => self.uniform(*value),
                };
                let index = self.ops().convert(Rep { dtype, lanes: 1 }, DType::I64, loaded);
                self.clamp(index, *max)
            }
        })
    }

    /// Whether an index expression changes along the vector axis other than by a constant step.
    fn jumps(&self, of: &Affine) -> bool {
        let axis = self.body.vector_axis;
        self.body.affine_varies(&of.without(axis), |a| a == axis, &self.varies)
    }

    /// Address of the element of a buffer at a place, but for the place's constant offset, and elements from there to the
    /// next one along the vector axis. Only where the address does not [jump](Emitter::jumps).
    fn first(&mut self, at: &At, buffer: usize, address: &Affine, dtype: DType) -> (Value, i64) {
        let start = self.line_start(buffer, address, dtype);
        let step = address.coefficient(self.body.vector_axis);
        if step == 0 {
            return (start, 0);
        }
        let along = self.times(at.position, step);
        (self.element(start, along, dtype), step)
    }

    /// Address of the element at position 0 of the vector axis: the same for the whole inner loop.
    fn line_start(&mut self, buffer: usize, address: &Affine, dtype: DType) -> Value {
        let line = self.index_value(None, &address.without(self.body.vector_axis));
        self.element(self.buffers[buffer], line, dtype)
    }

    /// Computes, before the loops over a span, where in the buffers the lines begin that these go along.
    pub fn prepare_lines(&mut self, needed: &[bool], sinks: &[Sink]) {
        let body = self.body;
        let loads = (0..needed.len()).filter(|&id| needed[id] && self.varies[id]);
        let loads = loads.filter_map(|id| match &body.values[id].kind {
            ValueKind::Load { buffer, address } => Some((*buffer, address, id)),
            _ => None,
        });
        let stores = sinks.iter().filter_map(|sink| match sink {
            Sink::Store(i) => Some((body.stores[*i].buffer, &body.stores[*i].address, body.stores[*i].value)),
            Sink::Reduce(_) | Sink::Stage(..) | Sink::Start(_) | Sink::Accumulate | Sink::Zero => None,
        });
        let lines: Vec<(usize, &Affine, ValueId)> = loads.chain(stores).collect();
        for (buffer, address, value) in lines {
            if !self.jumps(address) {
                self.line_start(buffer, address, body.values[value].dtype);
            }
        }
    }

    /// An element of a buffer, or the lanes from there on.
    pub fn load(&mut self, at: &mut At, rep: Rep, buffer: usize, address: &Affine) -> Value {
        let scalar = Rep { lanes: 1, ..rep };
        if self.jumps(address) {
            let index = self.index_value(Some(at), address);
            let address = self.element(self.buffers[buffer], index, rep.dtype);
            return self.ops().load(scalar, address, 0);
        }
        let (first, step) = self.first(at, buffer, address, rep.dtype);
        let size = rep.dtype.n_bytes() as i64;
        if step == 1 || rep.lanes == 1 {
            return self.ops().load(rep, first, at.offset * step * size);
        }
        let lanes: Vec<Value> = (0..rep.lanes as i64)
            .map(|lane| self.ops().load(scalar, first, (at.offset + lane) * step * size))
            .collect();
        self.ops().join_lanes(rep, &lanes)
    }

    /// Stores a value at an address of a buffer.
    pub fn store(&mut self, at: &mut At, rep: Rep, value: Value, buffer: usize, address: &Affine) {
        let scalar = Rep { lanes: 1, ..rep };
        if self.jumps(address) {
            let index = self.index_value(Some(at), address);
            let address = self.element(self.buffers[buffer], index, rep.dtype);
            return self.ops().store(scalar, value, address, 0);
        }
        let (first, step) = self.first(at, buffer, address, rep.dtype);
        let size = rep.dtype.n_bytes() as i64;
        if step == 1 || rep.lanes == 1 {
            return self.ops().store(rep, value, first, at.offset * step * size);
        }
        for lane in 0..rep.lanes {
            let element = self.ops().lane(rep, value, lane);
            self.ops().store(scalar, element, first, (at.offset + lane as i64) * step * size);
        }
    }
}

//! What elements that are sent to one place become, by work that grows with their number and not with that of the places.

use super::{Combine, Tensor};
use kiln_ir::DType;

/// With more places in a line extrema are found by sorting what is sent, else by comparing each place with each index: a
/// comparison takes some nanoseconds for each place, sorting about as many for each of the (twice 13) levels of 8,000 elements.
const MOST_COMPARED: usize = 64;

/// Elements sent to the places of the last axis of some lines; all three have the same extents before it.
pub(super) struct Sent<'a> {
    /// What is at the places already.
    pub own: &'a Tensor,
    /// Where elements go: `i32` or `i64`; what is not on the axis is dropped.
    pub indices: &'a Tensor,
    /// The elements, of the type of `own`.
    pub source: &'a Tensor,
    /// Whether what is at a place counts like what is sent there, and not only where nothing is sent.
    pub include_self: bool,
}

impl Sent<'_> {
    /// The combined elements, unless each place must be compared with each index.
    pub fn combined(&self, combine: Combine) -> Option<Tensor> {
        match combine {
            Combine::Sum => Some(self.any().select(self.sum(), self.own)),
            Combine::Mean => Some(self.any().select(self.mean(), self.own)),
            Combine::Max | Combine::Min if self.n_places() > MOST_COMPARED => Some(self.extremum(combine)),
            Combine::Prod | Combine::Max | Combine::Min => None,
        }
    }

    fn n_places(&self) -> usize {
        self.own.shape()[self.own.rank() - 1]
    }

    /// Zeros with some values added where they are sent.
    fn added(&self, values: &Tensor) -> Tensor {
        let places = self.own.shape().clone();
        self.own.fill(values.dtype(), places, 0.0).scatter_add(-1, self.indices, values)
    }

    /// How many elements are sent to each place.
    fn counts(&self) -> Tensor {
        self.added(&self.indices.ones_like().cast(DType::I64))
    }

    fn any(&self) -> Tensor {
        self.counts().gt(0)
    }

    fn sum(&self) -> Tensor {
        let sum = self.added(self.source);
        if self.include_self { sum + self.own } else { sum }
    }

    fn mean(&self) -> Tensor {
        let count = if self.include_self { self.counts() + 1 } else { self.counts().clamp_min(1) };
        let sum = self.sum();
        if sum.dtype().is_float() { sum / count } else { sum.div_floor(count).cast(self.own.dtype()) }
    }

    /// The greatest or least elements, whose gradient goes in equal parts to all elements that are equal to them.
    fn extremum(&self, combine: Combine) -> Tensor {
        if combine == Combine::Min && self.own.dtype().is_float() {
            // Sorting and comparing take NaN for greater than all numbers; turned around, it counts here too.
            let [own, source] = [self.own, self.source].map(Tensor::neg);
            return -Sent { own: &own, source: &source, ..*self }.extremum(Combine::Max);
        }
        let any = self.any();
        let sent = self.last_in_order(combine == Combine::Min);
        let own = self.own.detach();
        let whole = match (self.include_self, combine) {
            (false, _) => sent,
            (true, Combine::Min) => sent.minimum(&own),
            (true, _) => sent.maximum(&own),
        };
        let whole = any.select(whole, &own);
        if !self.own.dtype().is_float() {
            return whole;
        }
        let places = self.indices.clamp(0, self.n_places() as i64 - 1);
        let is_it = self.source.eq(whole.gather(-1, &places));
        let mut sum = self.added(&is_it.select(self.source, 0.0));
        let mut count = self.added(&is_it.cast(self.own.dtype()));
        if self.include_self {
            let is_it = self.own.eq(&whole);
            sum = sum + is_it.select(self.own, 0.0);
            count = count + is_it.cast(self.own.dtype());
        }
        // The mean of equal elements passes the gradient on; its rounding is taken back.
        let mean = sum / count.clamp_min(1.0);
        let rounding = whole.isinf().select(0.0, &mean - whole).detach();
        any.select(mean - rounding, self.own)
    }

    /// At each place the last of the elements that are sent there, in increasing or decreasing order; anything where there
    /// are none.
    fn last_in_order(&self, descending: bool) -> Tensor {
        let source = self.source.detach();
        // Sorting keeps the order of what is equal: by the elements, then by their places.
        let order = source.argsort(-1, descending);
        let places = self.indices.gather(-1, &order);
        let by_place = places.argsort(-1, false);
        let order = order.gather(-1, &by_place);
        let before = self.indices.lt(0).cast(DType::I64).sum(super::keep(-1));
        let last = self.counts().cumsum(-1) + before - 1;
        let last = last.clamp(0, self.indices.shape()[self.indices.rank() - 1] as i64 - 1);
        source.gather(-1, &order.gather(-1, &last))
    }
}

//! Reductions of the parts of an axis that lie one behind the other.

use super::{Combine, Tensor};
use kiln_ir::{DType, Shape};

impl Tensor {
    /// The elements of each part of an axis combined, with `initial` among them; the axis is then one of the parts (PyTorch's
    /// `segment_reduce`). Of a part without elements it is `initial`, or what the combination begins with: 0, 1, or an
    /// infinity; a mean is the sum with `initial` divided by the number of elements, at least 1.
    ///
    /// Parts are given by their lengths, one after the other from the beginning of the axis. Shapes: lengths `[n]` for all
    /// lines, or `[.., n]` with the axes before this one. Types: floats, and integers for the lengths. Errors: lengths of other
    /// shapes.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # use kiln::Combine;
    /// # let tracer = Tracer::new("segments");
    /// let (words, lengths) = (tracer.input("words", f32(&[20, 8])), tracer.input("lengths", i64(&[4])));
    /// assert_eq!(words.segment_reduce(&lengths, 0, Combine::Mean, None).extents(), [4, 8]);
    /// ```
    #[track_caller]
    pub fn segment_reduce(
        &self,
        lengths: &Tensor,
        axis: i64,
        combine: Combine,
        initial: Option<f64>,
    ) -> Tensor {
        const NAME: &str = "segment_reduce";
        let at = match self.require_float(NAME).and_then(|()| self.axis(NAME, axis)) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let of_lines = lengths.rank().checked_sub(1).map(|last| &lengths.shape()[..last]);
        if lengths.dtype().is_float() || !of_lines.is_some_and(|e| e.is_empty() || *e == self.shape()[..at]) {
            return lengths.refuse(NAME, "lengths are integers, with the axes before this one or without");
        }
        self.within(NAME, || {
            let extents = |extent: usize, of: &[usize]| -> Shape {
                self.shape()[..at].iter().chain([&extent]).chain(of).copied().collect()
            };
            let (n, n_parts) = (self.shape()[at], lengths.shape()[lengths.rank() - 1]);
            let behind = &self.shape()[at + 1..];
            let first = match (combine, initial) {
                (_, Some(initial)) => initial,
                (Combine::Sum | Combine::Mean, None) => 0.0,
                (Combine::Prod, None) => 1.0,
                (Combine::Max, None) => f64::NEG_INFINITY,
                (Combine::Min, None) => f64::INFINITY,
            };
            let start = self.fill(self.dtype(), extents(n_parts, behind), first);
            // The number of the part that each place is in: how many end at it or before.
            let ends = lengths.cast(DType::I64).cumsum(-1).unsqueeze(-1);
            let part = ends.le(self.places(n)).cast(DType::I64).sum(-2);
            let spread = |x: &Tensor, extent: usize| {
                let lines: Vec<i64> =
                    x.extents().iter().map(|&e| e as i64).chain(behind.iter().map(|_| 1)).collect();
                x.reshape(lines).broadcast_to(extents(extent, behind))
            };
            let sum = if combine == Combine::Mean { Combine::Sum } else { combine };
            let reduced = start.scatter_reduce(at as i64, &spread(&part, n), self, sum, true);
            match combine {
                Combine::Mean => reduced / spread(&lengths.clamp_min(1).cast(self.dtype()), n_parts),
                Combine::Sum | Combine::Prod | Combine::Max | Combine::Min => reduced,
            }
        })
    }
}

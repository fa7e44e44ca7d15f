//! Borders whose elements are others of the same line.
//!
//! Amounts are (before, after) for each of the last axes, in their order; negative ones cut off. Types: any. Errors: more
//! pairs than axes; a border longer than there are elements for.

use super::Tensor;

/// What lies beyond the ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border {
    /// One value.
    Constant(f64),
    /// The axis turned around, without the element at the end: `c b | a b c | b a`.
    Reflect,
    /// The element at the end: `a a | a b c | c c`.
    Replicate,
    /// The axis again: `b c | a b c | a b`.
    Circular,
}

impl Border {
    /// The place on an axis of `n` elements that place `i` outside of it shows; nothing if there is none.
    fn source(self, i: i64, n: i64) -> Option<i64> {
        let place = match self {
            Border::Constant(_) => i,
            Border::Reflect if i < 0 => -i,
            Border::Reflect if i >= n => 2 * n - 2 - i,
            Border::Reflect => i,
            Border::Replicate => i.clamp(0, (n - 1).max(0)),
            Border::Circular => i.rem_euclid(n.max(1)),
        };
        (0..n).contains(&place).then_some(place)
    }
}

impl Tensor {
    /// A border of this kind around the last axes; see the module.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # use kiln::Border;
    /// # let tracer = Tracer::new("pad");
    /// # let x = tracer.input("x", f32(&[4, 3]));
    /// assert_eq!(x.pad_with(&[(1, 2)], Border::Reflect).extents(), [4, 6]);
    /// ```
    #[track_caller]
    pub fn pad_with(&self, amounts: &[(i64, i64)], border: Border) -> Tensor {
        if let Border::Constant(value) = border {
            return self.pad(amounts, value);
        }
        let Some(lead) = self.rank().checked_sub(amounts.len()) else {
            return self.refuse("pad_with", format!("{} pairs are more than it has axes", amounts.len()));
        };
        self.within("pad_with", || {
            let mut x = self.clone();
            for (a, &(before, after)) in amounts.iter().enumerate() {
                if (before, after) == (0, 0) {
                    continue;
                }
                let n = x.shape()[lead + a] as i64;
                // A negative amount cuts off first, unless the border's elements do not depend on where it begins.
                let cut = if border == Border::Replicate { 0 } else { 1 };
                let (start, end) = (cut * (-before).max(0), n - cut * (-after).max(0));
                let (from, to) = if cut == 0 {
                    (-before, n + after)
                } else {
                    (-before.max(0), end - start + after.max(0))
                };
                let sources: Option<Vec<i64>> =
                    (from..to).map(|i| border.source(i, end - start).map(|i| start + i)).collect();
                let Some(sources) = sources else {
                    let problem = format!("a border of {before} and {after} is too long for extent {n}");
                    return x.refuse("pad_with", problem);
                };
                x = x.index_select((lead + a) as i64, &self.indices(sources));
            }
            x
        })
    }
}

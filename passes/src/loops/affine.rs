//! Affine index expressions: how a movement op becomes part of an address.
//!
//! An [`Affine`] is `offset + sum of coefficient * variable`. Variables `0..n` are the axes of a loop nest; further
//! ones are [`Derived`]: values that are not affine in the axes (a quotient, a remainder, a clamped index, an index
//! that was loaded), named so that everything built from them is.

use smallvec::SmallVec;

/// A variable of an index expression: an axis of the loop nest, or `n_axes + i` for derived variable `i`.
pub type Variable = usize;

/// `offset + sum of coefficient * variable`, terms by increasing variable, no zero coefficients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Affine {
    /// The constant part.
    pub offset: i64,
    /// Variables with their coefficients.
    pub terms: SmallVec<[(Variable, i64); 4]>,
}

/// A variable that is computed from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Derived {
    /// `floor(of / by)`; `of` is never negative.
    Quotient {
        /// The dividend.
        of: Affine,
        /// The divisor, positive.
        by: i64,
    },
    /// `of mod by`; `of` is never negative.
    Remainder {
        /// The dividend.
        of: Affine,
        /// The divisor, positive.
        by: i64,
    },
    /// `of`, at least 0 and at most `max`.
    Clamp {
        /// The value to clamp.
        of: Affine,
        /// The greatest result.
        max: i64,
    },
    /// A value of the loop body (an integer), at least 0 and at most `max`.
    Loaded {
        /// Position of the value in the loop body.
        value: usize,
        /// The greatest result.
        max: i64,
    },
}

impl Derived {
    /// The expression that this is computed from, if it is from one.
    pub fn operand(&self) -> Option<&Affine> {
        match self {
            Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. } => {
                Some(of)
            }
            Derived::Loaded { .. } => None,
        }
    }

    /// The same, to change it.
    pub fn operand_mut(&mut self) -> Option<&mut Affine> {
        match self {
            Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. } => {
                Some(of)
            }
            Derived::Loaded { .. } => None,
        }
    }
}

impl Affine {
    /// A constant.
    pub fn constant(offset: i64) -> Affine {
        Affine { offset, terms: SmallVec::new() }
    }

    /// One variable.
    pub fn variable(variable: Variable) -> Affine {
        Affine { offset: 0, terms: SmallVec::from_elem((variable, 1), 1) }
    }

    /// The coefficient of a variable, 0 when absent.
    pub fn coefficient(&self, variable: Variable) -> i64 {
        self.terms.iter().find(|term| term.0 == variable).map_or(0, |term| term.1)
    }

    /// This times a constant.
    pub fn times(&self, factor: i64) -> Affine {
        if factor == 0 {
            return Affine::default();
        }
        Affine {
            offset: self.offset * factor,
            terms: self.terms.iter().map(|&(v, c)| (v, c * factor)).collect(),
        }
    }

    /// This plus a constant.
    pub fn plus_constant(&self, constant: i64) -> Affine {
        Affine { offset: self.offset + constant, terms: self.terms.clone() }
    }

    /// The sum of two expressions.
    pub fn plus(&self, other: &Affine) -> Affine {
        let mut sum = Affine::constant(self.offset + other.offset);
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let term = match (a.peek(), b.peek()) {
                (Some(&&x), Some(&&y)) if x.0 == y.0 => {
                    a.next();
                    b.next();
                    (x.0, x.1 + y.1)
                }
                (Some(&&x), Some(&&y)) if x.0 < y.0 => {
                    a.next();
                    x
                }
                (Some(&&x), None) => {
                    a.next();
                    x
                }
                (_, Some(&&y)) => {
                    b.next();
                    y
                }
                (None, None) => return sum,
            };
            if term.1 != 0 {
                sum.terms.push(term);
            }
        }
    }

    /// Whether no variable occurs.
    pub fn is_constant(&self) -> bool {
        self.terms.is_empty()
    }

    /// The expression without one variable.
    pub fn without(&self, variable: Variable) -> Affine {
        let terms = self.terms.iter().copied().filter(|term| term.0 != variable).collect();
        Affine { offset: self.offset, terms }
    }

    /// The expression with one variable replaced by an expression.
    pub fn substitute(&self, variable: Variable, by: &Affine) -> Affine {
        match self.coefficient(variable) {
            0 => self.clone(),
            factor => self.without(variable).plus(&by.times(factor)),
        }
    }

    /// Renames every variable.
    pub fn renamed(&self, rename: impl Fn(Variable) -> Variable) -> Affine {
        let mut terms: SmallVec<[(Variable, i64); 4]> =
            self.terms.iter().map(|&(v, c)| (rename(v), c)).collect();
        terms.sort_unstable();
        Affine { offset: self.offset, terms }
    }
}

/// The variables in scope: extents of the axes, and the derived variables with their ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variables {
    /// Extents of the loop axes.
    pub extents: Vec<usize>,
    /// Derived variables; number `i` is variable `extents.len() + i`.
    pub derived: Vec<Derived>,
}

impl Variables {
    /// The variables of a loop nest with these extents.
    pub fn new(extents: &[usize]) -> Variables {
        Variables { extents: extents.to_vec(), derived: Vec::new() }
    }

    /// The index along an axis; the constant 0 where the extent is 1, so that equal indices are equal expressions.
    pub fn axis(&self, axis: usize) -> Affine {
        if self.extents[axis] <= 1 { Affine::default() } else { Affine::variable(axis) }
    }

    /// The definition of a variable, if it is derived.
    pub fn definition(&self, variable: Variable) -> Option<&Derived> {
        variable.checked_sub(self.extents.len()).map(|i| &self.derived[i])
    }

    /// Names a derived value; equal definitions get the same variable. A range of one value is a constant.
    pub fn derive(&mut self, derived: Derived) -> Affine {
        let (low, high) = self.derived_range(&derived);
        if low == high {
            return Affine::constant(low);
        }
        let i = self.derived.iter().position(|d| *d == derived).unwrap_or_else(|| {
            self.derived.push(derived);
            self.derived.len() - 1
        });
        Affine::variable(self.extents.len() + i)
    }

    /// Least and greatest value of an expression, over all indices.
    pub fn range(&self, of: &Affine) -> (i64, i64) {
        of.terms.iter().fold((of.offset, of.offset), |(low, high), &(variable, c)| {
            let (l, h) = match self.definition(variable) {
                None => (0, self.extents[variable].saturating_sub(1) as i64),
                Some(derived) => self.derived_range(derived),
            };
            if c > 0 { (low + c * l, high + c * h) } else { (low + c * h, high + c * l) }
        })
    }

    fn derived_range(&self, derived: &Derived) -> (i64, i64) {
        match derived {
            Derived::Quotient { of, by } => {
                let (low, high) = self.range(of);
                (low.div_euclid(*by), high.div_euclid(*by))
            }
            Derived::Remainder { of, by } => {
                let (low, high) = self.range(of);
                if low.div_euclid(*by) == high.div_euclid(*by) {
                    (low.rem_euclid(*by), high.rem_euclid(*by))
                } else {
                    (0, by - 1)
                }
            }
            Derived::Clamp { of, max } => {
                let (low, high) = self.range(of);
                (low.clamp(0, *max), high.clamp(0, *max))
            }
            Derived::Loaded { max, .. } => (0, *max),
        }
    }

    /// `of / by` and `of mod by` of an expression that is never negative: affine where the terms allow it.
    pub fn divide(&mut self, of: &Affine, by: i64) -> (Affine, Affine) {
        if by == 1 {
            return (of.clone(), Affine::default());
        }
        let offset = (of.offset.div_euclid(by), of.offset.rem_euclid(by));
        let (mut quotient, mut remainder) = (Affine::constant(offset.0), Affine::constant(offset.1));
        for &(variable, c) in &of.terms {
            if c % by == 0 {
                quotient.terms.push((variable, c / by));
            } else {
                remainder.terms.push((variable, c));
            }
        }
        let (low, high) = self.range(&remainder);
        if low >= 0 && high < by {
            return (quotient, remainder);
        }
        let quotient = self.quotient(of, by);
        let quotient = self.derive(quotient);
        let remainder = self.derive(Derived::Remainder { of: of.clone(), by });
        (quotient, remainder)
    }

    /// `of / by`; of a quotient, what that divides is divided by both: `(e / k) / by = e / (k * by)`.
    fn quotient(&self, of: &Affine, by: i64) -> Derived {
        if let (0, [(variable, 1)]) = (of.offset, &of.terms[..])
            && let Some(Derived::Quotient { of: e, by: k }) = self.definition(*variable)
        {
            return Derived::Quotient { of: e.clone(), by: k * by };
        }
        Derived::Quotient { of: of.clone(), by }
    }

    /// The expression clamped to `0..=max`; itself where it cannot leave that range.
    pub fn clamp(&mut self, of: &Affine, max: i64) -> Affine {
        let (low, high) = self.range(of);
        if low >= 0 && high <= max { of.clone() } else { self.derive(Derived::Clamp { of: of.clone(), max }) }
    }

    /// Puts `c * k * (e / k) + c * (e mod k)` back together as `c * e`: a reshape undone by another.
    ///
    /// The last that was derived comes first: `e` may be a quotient itself, with a remainder that waits for it.
    pub fn recombine(&self, of: &Affine) -> Affine {
        let mut whole = of.clone();
        for (i, derived) in self.derived.iter().enumerate().rev() {
            let Derived::Remainder { of: e, by } = derived else { continue };
            let remainder = self.extents.len() + i;
            let quotient = self.quotient(e, *by);
            let Some(j) = self.derived.iter().position(|d| *d == quotient) else { continue };
            let quotient = self.extents.len() + j;
            let c = whole.coefficient(remainder);
            if c != 0 && whole.coefficient(quotient) == c * by {
                whole = whole.without(remainder).without(quotient).plus(&e.times(c));
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_axis_splits_back_without_division() {
        // 4 * i + j over extents [3, 4], split by 4.
        let mut variables = Variables::new(&[3, 4]);
        let merged = Affine::variable(0).times(4).plus(&Affine::variable(1));
        assert_eq!(variables.divide(&merged, 4), (Affine::variable(0), Affine::variable(1)));
        assert!(variables.derived.is_empty());
    }

    #[test]
    fn a_quotient_and_its_remainder_recombine() {
        let mut variables = Variables::new(&[12]);
        let (q, r) = variables.divide(&Affine::variable(0), 5);
        assert_eq!(variables.derived.len(), 2);
        assert_eq!(variables.recombine(&q.times(10).plus(&r.times(2))), Affine::variable(0).times(2));
        let not_whole = q.times(4).plus(&r);
        assert_eq!(variables.recombine(&not_whole), not_whole);
    }

    #[test]
    fn quotients_of_quotients_recombine() {
        // An axis seen as three: 5 and 3 elements within it.
        let mut variables = Variables::new(&[31]);
        let (rest, inner) = variables.divide(&Affine::variable(0), 3);
        let (outer, middle) = variables.divide(&rest, 5);
        let address = outer.times(15).plus(&middle.times(3)).plus(&inner);
        assert_eq!(variables.recombine(&address), Affine::variable(0));
    }

    #[test]
    fn a_clamp_that_cannot_bind_is_nothing() {
        let mut variables = Variables::new(&[8]);
        let index = Affine::variable(0).plus_constant(1);
        assert_eq!(variables.clamp(&index, 8), index);
        assert_ne!(variables.clamp(&index, 7), index);
    }
}

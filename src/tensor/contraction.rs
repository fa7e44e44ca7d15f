//! Products of matrices and vectors.
//!
//! Types: both operands are promoted to one type of numbers; sums are kept in that type, in an order fixed by the
//! shape alone.

use super::Tensor;
use super::binary::scaled;
use super::convert::{Checked, broadcast_shapes};
use super::operand::promote_types;
use crate::error::Problem;
use kiln_ir::op::Dot;
use kiln_ir::{Op, Shape, TypeError};
use smallvec::SmallVec;

impl Tensor {
    /// Matrix product over the last two axes; leading axes are batches and broadcast. A vector on the left is a row,
    /// on the right a column, and its axis does not appear in the result (NumPy's `matmul`).
    ///
    /// Shapes: `self: [.., m, k]`, `rhs: [.., k, n]` -> `[.., m, n]`. Types: see the module.
    /// Errors: inner extents differ; batch axes do not broadcast; an operand is a scalar.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("matmul");
    /// # let x = tracer.input("x", f32(&[128, 784]));
    /// # let w = tracer.input("w", f32(&[784, 512]));
    /// let y = x.matmul(&w); // [128, 784] x [784, 512] -> [128, 512]
    /// assert_eq!(y.extents(), [128, 512]);
    /// ```
    #[track_caller]
    pub fn matmul(&self, rhs: &Tensor) -> Tensor {
        self.within("matmul", || match self.matmul_checked(rhs) {
            Ok(product) | Err(product) => product,
        })
    }

    fn matmul_checked(&self, rhs: &Tensor) -> Checked<Tensor> {
        if self.rank() == 0 || rhs.rank() == 0 {
            return Err(self.refuse_pair(rhs, "matmul", "a scalar is no matrix: multiply with `*`"));
        }
        let contracted = if rhs.rank() == 1 { 0 } else { rhs.rank() - 2 };
        if self.shape()[self.rank() - 1] != rhs.shape()[contracted] {
            let axis = self.rank() - 1;
            return Err(refuse_extents("matmul", ("lhs", self, axis), ("rhs", rhs, contracted)));
        }
        // Only now: an error shows the operands as the user knows them.
        let (lhs, rhs) = self.promoted(rhs);
        if rhs.rank() <= 2 {
            return Ok(lhs.dot_over(&rhs, &[], (lhs.rank() - 1, contracted)));
        }
        if lhs.rank() == 1 {
            let row = lhs.unsqueeze(0).matmul_checked(&rhs)?;
            return Ok(row.reshape_exact(row.shape().without(&[row.rank() - 2])));
        }
        let batch = |t: &Tensor| Shape::new(&t.shape()[..t.rank() - 2]);
        let Some(shape) = broadcast_shapes(&batch(&lhs), &batch(&rhs)) else {
            let (l, r) = (batch(&lhs), batch(&rhs));
            let problem = Problem::Broadcast { op: "matmul", lhs: l, rhs: r };
            return Err(self.tracer().refuse(problem, &[("lhs", &lhs), ("rhs", &rhs)]));
        };
        let widened = |t: &Tensor| {
            let matrix = &t.shape()[t.rank() - 2..];
            t.broadcast_to(shape.iter().chain(matrix).copied().collect::<Shape>())
        };
        let n = shape.rank();
        let pairs: SmallVec<[(usize, usize); 3]> = (0..n).map(|a| (a, a)).collect();
        Ok(widened(&lhs).dot_over(&widened(&rhs), &pairs, (n + 1, n)))
    }

    /// Product of each matrix of a batch with that of another.
    ///
    /// Shapes: `self: [b, m, k]`, `rhs: [b, k, n]` -> `[b, m, n]`. Errors: other ranks; extents differ.
    #[track_caller]
    pub fn bmm(&self, rhs: &Tensor) -> Tensor {
        self.within("bmm", || {
            if (self.rank(), rhs.rank()) != (3, 3) {
                return self.refuse_pair(rhs, "bmm", "both operands need three axes");
            }
            let (lhs, rhs) = self.promoted(rhs);
            lhs.dot_over(&rhs, &[(0, 0)], (2, 1))
        })
    }

    /// Product of two matrices. Shapes: `[m, k]`, `[k, n]` -> `[m, n]`. Errors: other ranks; inner extents differ.
    #[track_caller]
    pub fn mm(&self, rhs: &Tensor) -> Tensor {
        self.within("mm", || {
            if (self.rank(), rhs.rank()) != (2, 2) {
                return self.refuse_pair(rhs, "mm", "both operands need two axes");
            }
            self.matmul(rhs)
        })
    }

    /// Product of a matrix and a vector. Shapes: `[m, k]`, `[k]` -> `[m]`. Errors: as [`mm`](Tensor::mm).
    #[track_caller]
    pub fn mv(&self, rhs: &Tensor) -> Tensor {
        self.within("mv", || {
            if (self.rank(), rhs.rank()) != (2, 1) {
                return self.refuse_pair(rhs, "mv", "it takes a matrix and a vector");
            }
            self.matmul(rhs)
        })
    }

    /// Sum of products of two vectors. Shapes: `[k]`, `[k]` -> `[]`. Errors: other ranks; extents differ.
    #[track_caller]
    pub fn dot(&self, rhs: &Tensor) -> Tensor {
        self.within("dot", || {
            if (self.rank(), rhs.rank()) != (1, 1) {
                return self.refuse_pair(rhs, "dot", "it takes two vectors");
            }
            self.matmul(rhs)
        })
    }

    /// All products of an element of one vector and one of another. Shapes: `[m]`, `[n]` -> `[m, n]`.
    #[track_caller]
    pub fn outer(&self, rhs: &Tensor) -> Tensor {
        self.within("outer", || {
            if (self.rank(), rhs.rank()) != (1, 1) {
                return self.refuse_pair(rhs, "outer", "it takes two vectors");
            }
            self.unsqueeze(1) * rhs.unsqueeze(0)
        })
    }

    /// `beta * self + alpha * a b`. Shapes: `a: [m, k]`, `b: [k, n]`; `self` broadcasts to `[m, n]`.
    #[track_caller]
    pub fn addmm(&self, a: &Tensor, b: &Tensor, beta: f64, alpha: f64) -> Tensor {
        self.within("addmm", || scaled(a.mm(b), alpha) + self.weighed(beta))
    }

    /// `beta * self + alpha * a b` for batches of matrices. Shapes: `a: [n, m, k]`, `b: [n, k, p]`.
    #[track_caller]
    pub fn baddbmm(&self, a: &Tensor, b: &Tensor, beta: f64, alpha: f64) -> Tensor {
        self.within("baddbmm", || scaled(a.bmm(b), alpha) + self.weighed(beta))
    }

    /// `beta * self`; 0 for a `beta` of 0, whatever the elements are, as in BLAS.
    pub(super) fn weighed(&self, beta: f64) -> Tensor {
        if beta == 0.0 { self.zeros_like() } else { scaled(self.clone(), beta) }
    }

    /// `self W' + b`: a linear layer, with the weight as PyTorch keeps it.
    ///
    /// Shapes: `self: [.., k]`, `weight: [n, k]`, `bias: [n]` -> `[.., n]`. Errors: extents differ; other ranks.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        self.within("linear", || {
            if self.rank() == 0 || weight.rank() != 2 {
                return self.refuse_pair(
                    weight,
                    "linear",
                    "the weight needs two axes, the input at least one",
                );
            }
            if self.shape()[self.rank() - 1] != weight.shape()[1] {
                return refuse_extents("linear", ("input", self, self.rank() - 1), ("weight", weight, 1));
            }
            let (x, weight) = self.promoted(weight);
            let product = x.dot_over(&weight, &[], (x.rank() - 1, 1));
            match bias {
                Some(bias) => product + bias,
                None => product,
            }
        })
    }

    fn promoted(&self, rhs: &Tensor) -> (Tensor, Tensor) {
        let dtype = promote_types(self.dtype(), rhs.dtype());
        (self.cast(dtype), rhs.cast(dtype))
    }

    fn dot_over(&self, rhs: &Tensor, batch: &[(usize, usize)], contract: (usize, usize)) -> Tensor {
        let dot = Dot { batch: SmallVec::from_slice(batch), contract: SmallVec::from_slice(&[contract]) };
        self.record(Op::Dot(dot), &[rhs])
    }

    #[track_caller]
    fn refuse_pair(&self, rhs: &Tensor, op: &'static str, problem: &str) -> Tensor {
        self.refuse_with(("lhs", self), ("rhs", rhs), op, problem)
    }

    /// A poisoned tensor in place of an op that refuses two operands for a reason of its own.
    #[track_caller]
    pub(crate) fn refuse_with(
        &self,
        lhs: (&'static str, &Tensor),
        rhs: (&'static str, &Tensor),
        op: &'static str,
        problem: &str,
    ) -> Tensor {
        let problem = TypeError::Attribute { op, operand: self.ty().clone(), problem: problem.to_string() };
        self.tracer().refuse(problem.into(), &[lhs, rhs])
    }
}

/// A poisoned tensor in place of an op whose operands (each with its role and an axis) differ in extent.
#[track_caller]
fn refuse_extents(
    op: &'static str,
    (lhs_role, lhs, lhs_axis): (&'static str, &Tensor, usize),
    (rhs_role, rhs, rhs_axis): (&'static str, &Tensor, usize),
) -> Tensor {
    let (lhs_ty, rhs_ty) = (lhs.ty().clone(), rhs.ty().clone());
    let problem = TypeError::ExtentMismatch { op, lhs: lhs_ty, lhs_axis, rhs: rhs_ty, rhs_axis };
    lhs.tracer().refuse(problem.into(), &[(lhs_role, lhs), (rhs_role, rhs)])
}

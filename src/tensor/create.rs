//! Tensors made from numbers alone, by PyTorch's names.
//!
//! Numbers in a row are computed in `f64` and rounded once. Random numbers come from the random state of the program, of
//! which a [`Trainer`](crate::Trainer) has one.

use super::Tensor;
use crate::trace::Tracer;
use kiln_ir::{DType, Literal, Op, Shape, TensorData, TensorType, TypeError};

impl Tracer {
    /// A tensor of zeros.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// let tracer = Tracer::new("start");
    /// let hidden = tracer.zeros(f32(&[8, 64]));
    /// assert_eq!(hidden.extents(), [8, 64]);
    /// ```
    #[track_caller]
    pub fn zeros(&self, ty: TensorType) -> Tensor {
        self.full(ty, 0.0)
    }

    /// A tensor of ones; see [`zeros`](Tracer::zeros).
    #[track_caller]
    pub fn ones(&self, ty: TensorType) -> Tensor {
        self.full(ty, 1.0)
    }

    /// A tensor with every element equal to `value`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("full");
    /// let mask = tracer.full(f32(&[5, 5]), f64::NEG_INFINITY).triu(1);
    /// ```
    #[track_caller]
    pub fn full(&self, ty: TensorType, value: f64) -> Tensor {
        self.record(Op::Fill(Literal::from_f64(ty.dtype, value), ty.shape), &[])
    }

    /// The numbers from `start` on at distances of `step`, as far as they lie before `end`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("arange");
    /// assert_eq!(tracer.arange(DType::I64, 2.0, 11.0, 3.0).extents(), [3]); // 2, 5, 8
    /// ```
    ///
    /// Errors: `step` does not lead from `start` to `end`.
    #[track_caller]
    pub fn arange(&self, dtype: DType, start: f64, end: f64, step: f64) -> Tensor {
        let n = (end - start) / step;
        if !n.is_finite() || n < 0.0 {
            let problem = format!("steps of {step} do not lead from {start} to {end}");
            let operand = TensorType::new(dtype, [0]);
            return self.refuse(TypeError::Attribute { op: "arange", operand, problem }.into(), &[]);
        }
        self.series(dtype, n.ceil() as usize, |i| start + i * step)
    }

    /// `n` numbers at equal distances, the first `start` and the last `end`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("linspace");
    /// let x = tracer.linspace(DType::F32, -1.0, 1.0, 5); // -1, -0.5, 0, 0.5, 1
    /// assert_eq!(x.extents(), [5]);
    /// ```
    #[track_caller]
    pub fn linspace(&self, dtype: DType, start: f64, end: f64, n: usize) -> Tensor {
        self.series(dtype, n, in_line(start, end, n))
    }

    /// Powers of `base`: the exponents are `n` numbers at equal distances, the first `start` and the last `end`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("logspace");
    /// let rates = tracer.logspace(DType::F32, -4.0, -1.0, 4, 10.0); // 0.0001, 0.001, 0.01, 0.1
    /// assert_eq!(rates.extents(), [4]);
    /// ```
    #[track_caller]
    pub fn logspace(&self, dtype: DType, start: f64, end: f64, n: usize, base: f64) -> Tensor {
        let exponent = in_line(start, end, n);
        self.series(dtype, n, move |i| base.powf(exponent(i)))
    }

    /// A matrix with ones on its diagonal and zeros elsewhere.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("eye");
    /// assert_eq!(tracer.eye(DType::F32, 3, 4).extents(), [3, 4]);
    /// ```
    #[track_caller]
    pub fn eye(&self, dtype: DType, rows: usize, columns: usize) -> Tensor {
        let shape = Shape::new(&[rows, columns]);
        let place = |axis| {
            let ty = TensorType { dtype: DType::I64, shape: shape.clone() };
            self.record(Op::Iota { ty, axis }, &[])
        };
        place(0).eq(place(1)).cast(dtype)
    }

    /// The places of a matrix on a diagonal and below it, row by row: rows and columns as `i64[2, n]`. `diagonal` counts from
    /// the main one, above it positive.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("places");
    /// assert_eq!(tracer.tril_indices(4, 4, 0).extents(), [2, 10]);
    /// ```
    #[track_caller]
    pub fn tril_indices(&self, rows: usize, columns: usize, diagonal: i64) -> Tensor {
        self.indices_where(rows, columns, |row, column| column <= row + diagonal)
    }

    /// The places of a matrix on a diagonal and above it; otherwise as [`tril_indices`](Tracer::tril_indices).
    #[track_caller]
    pub fn triu_indices(&self, rows: usize, columns: usize, diagonal: i64) -> Tensor {
        self.indices_where(rows, columns, |row, column| column >= row + diagonal)
    }

    /// Random numbers, uniform in `0..1`. Types and errors: as [`rand_like`](Tensor::rand_like).
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// fn noisy(x: &Tensor) -> Tensor {
    ///     x + x.tracer().randn(f32(x.extents())) * 0.1
    /// }
    /// ```
    #[track_caller]
    pub fn rand(&self, ty: TensorType) -> Tensor {
        self.called("rand", || self.zeros(ty).rand_like())
    }

    /// Random numbers, normal with mean 0 and variance 1; see [`rand`](Tracer::rand).
    #[track_caller]
    pub fn randn(&self, ty: TensorType) -> Tensor {
        self.called("randn", || self.zeros(ty).randn_like())
    }

    /// A vector of `n` numbers, each from its place.
    #[track_caller]
    fn series(&self, dtype: DType, n: usize, number: impl Fn(f64) -> f64) -> Tensor {
        let ty = TensorType::new(dtype, [n]);
        self.constant(TensorData::from_fn(&ty, |i| Literal::from_f64(dtype, number(i as f64))))
    }

    #[track_caller]
    fn indices_where(&self, rows: usize, columns: usize, is_wanted: impl Fn(i64, i64) -> bool) -> Tensor {
        let (rows, columns) = (rows as i64, columns as i64);
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let (mut indices, of_columns): (Vec<i64>, Vec<i64>) =
            all.filter(|&(row, column)| is_wanted(row, column)).unzip();
        let n = indices.len();
        indices.extend(of_columns);
        self.constant(TensorData::new([2, n], indices))
    }
}

/// The numbers at equal distances from `start` to `end`, by their place among `n`. The second half counts back from `end`,
/// which is met exactly, as in PyTorch.
fn in_line(start: f64, end: f64, n: usize) -> impl Fn(f64) -> f64 {
    let last = n.saturating_sub(1) as f64;
    let step = if n > 1 { (end - start) / last } else { 0.0 };
    move |i| if i < n as f64 / 2.0 { start + i * step } else { end - (last - i) * step }
}

//! Products against three loops in f64.

use super::*;
use crate::kernels::testing::{TestFloat, numbers, run_parts};

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    /// Rows backwards, with gaps.
    Reversed,
    /// No stride is one.
    Spread,
}

const LAYOUTS: [Layout; 4] = [Layout::Rows, Layout::Columns, Layout::Reversed, Layout::Spread];

/// The view of a matrix, the elements of its memory, and the offset of its first element.
fn lay_out(layout: Layout, batch: usize, rows: usize, columns: usize) -> (View, usize, usize) {
    let (row, column, size) = match layout {
        Layout::Rows => (columns as isize, 1, rows * columns),
        Layout::Columns => (1, rows as isize, rows * columns),
        Layout::Reversed => (-(columns as isize + 3), 1, rows * (columns + 3)),
        Layout::Spread => (2, 2 * rows as isize + 1, (2 * rows + 1) * columns),
    };
    let first = if row < 0 { rows.saturating_sub(1) * row.unsigned_abs() } else { 0 };
    (View { batch: [0, 0, size as isize], row, column }, batch * size, first)
}

fn check<T: TestFloat>(isa: Isa, batch: usize, [m, n, k]: [usize; 3], [la, lb]: [Layout; 2]) {
    let (a_view, a_size, a_first) = lay_out(la, batch, m, k);
    let (b_view, b_size, b_first) = lay_out(lb, batch, k, n);
    let (c_view, c_size, _) = lay_out(Layout::Rows, batch, m, n);
    let spec = GemmSpec {
        dtype: T::DTYPE,
        batch: [1, 1, batch],
        m,
        n,
        k,
        a: a_view,
        b: b_view,
        panels: None,
        c: c_view,
    };
    let (a, b) = (numbers::<T>(a_size, 1), numbers::<T>(b_size, 2));
    let mut first: Option<Vec<T>> = None;
    for parts in [1, 2, 3, 7] {
        let mut c = vec![T::from_f64(f64::NAN); c_size];
        let seen = run_parts(batch * m, n, parts, scratch_bytes(isa, &spec), |scratch, part, epilogue| {
            // SAFETY: the vectors are as large as the spec says.
            unsafe {
                let a = a.as_ptr().wrapping_add(a_first).cast();
                let b = b.as_ptr().wrapping_add(b_first).cast();
                gemm(isa, &spec, a, b, c.as_mut_ptr().cast(), scratch, part, Some(epilogue));
            }
        });
        assert!(seen.iter().all(|&n| n == 1), "{spec:?} on {isa} in {parts}: epilogue");
        match &first {
            Some(first) => assert!(*first == c, "{spec:?} on {isa} in {parts}: other bits"),
            None => {
                compare(&spec, isa, [&a, &b], [a_first, b_first], &c);
                first = Some(c);
            }
        }
    }
}

fn compare<T: TestFloat>(
    spec: &GemmSpec,
    isa: Isa,
    [a, b]: [&[T]; 2],
    [a_first, b_first]: [usize; 2],
    c: &[T],
) {
    let at = |first: usize, view: &View, batch: usize, row: usize, column: usize| {
        let offset = batch as isize * view.batch[2] + row as isize * view.row + column as isize * view.column;
        first.strict_add_signed(offset)
    };
    for batch in 0..spec.batch[2] {
        for i in 0..spec.m {
            for j in 0..spec.n {
                let exact: f64 = (0..spec.k)
                    .map(|p| {
                        a[at(a_first, &spec.a, batch, i, p)].to_f64()
                            * b[at(b_first, &spec.b, batch, p, j)].to_f64()
                    })
                    .sum();
                let got = c[at(0, &spec.c, batch, i, j)].to_f64();
                let tolerance = T::TOLERANCE * (spec.k as f64 + 1.0);
                assert!((got - exact).abs() <= tolerance, "{spec:?} on {isa}: {got} for {exact} at {i}, {j}");
            }
        }
    }
}

fn check_everywhere(batch: usize, shape: [usize; 3], layouts: [Layout; 2]) {
    for isa in Isa::available() {
        check::<f32>(isa, batch, shape, layouts);
        check::<f64>(isa, batch, shape, layouts);
    }
}

#[test]
fn all_layouts() {
    for a in LAYOUTS {
        for b in LAYOUTS {
            check_everywhere(1, [29, 45, 37], [a, b]);
            check_everywhere(3, [5, 17, 9], [a, b]);
        }
    }
}

#[test]
fn sizes_around_the_tiles() {
    for m in [1, 2, 5, 6, 7, 13, 14, 15, 28, 29] {
        for n in [1, 2, 8, 15, 16, 17, 31, 32, 33, 65] {
            check_everywhere(1, [m, n, 41], [Layout::Rows, Layout::Columns]);
            check_everywhere(1, [m, n, 33], [Layout::Columns, Layout::Rows]);
        }
    }
}

#[test]
fn matrix_times_vector() {
    for a in LAYOUTS {
        for b in LAYOUTS {
            for long in [1, 3, 16, 40, 97] {
                check_everywhere(2, [1, long, 43], [a, b]);
                check_everywhere(2, [long, 1, 43], [a, b]);
            }
        }
    }
    check_everywhere(1, [1, 4500, 19], [Layout::Rows, Layout::Rows]);
    check_everywhere(1, [4500, 1, 19], [Layout::Rows, Layout::Rows]);
}

#[test]
fn few_rows_or_columns_along_the_depth() {
    for few in [2, 3, 10, 20] {
        for many in [7, 16, 33, 300] {
            check_everywhere(2, [many, few, 77], [Layout::Rows, Layout::Columns]);
            check_everywhere(1, [few, many, 96], [Layout::Reversed, Layout::Columns]);
        }
    }
}

#[test]
fn little_depth() {
    for a in LAYOUTS {
        for b in LAYOUTS {
            check_everywhere(2, [23, 70, 10], [a, b]);
        }
    }
    for m in [2, 7, 8, 9, 17] {
        for n in [2, 15, 16, 32, 33, 64] {
            check_everywhere(1, [m, n, 3], [Layout::Rows, Layout::Rows]);
            check_everywhere(1, [m, n, 32], [Layout::Columns, Layout::Columns]);
        }
    }
    // Several regions, and the most columns.
    check_everywhere(1, [2300, 40, 5], [Layout::Rows, Layout::Rows]);
    check_everywhere(1, [70, 1024, 2], [Layout::Rows, Layout::Rows]);
}

#[test]
fn several_blocks() {
    let rows = [Layout::Rows, Layout::Rows];
    let columns = [Layout::Columns, Layout::Columns];
    // More than one block of depth; of rows; a stripe and a bit of columns; tall and resident; deep and flat.
    check_everywhere(1, [30, 40, 900], rows);
    check_everywhere(1, [200, 40, 900], columns);
    check_everywhere(1, [190, 1100, 800], rows);
    check_everywhere(1, [2300, 40, 35], rows);
    check_everywhere(1, [3, 10, 5000], columns);
}

#[test]
fn nothing() {
    for shape in [[0, 4, 4], [4, 0, 4], [0, 0, 0], [4, 4, 0], [1, 40, 0], [40, 1, 0], [1, 1, 0]] {
        check_everywhere(1, shape, [Layout::Rows, Layout::Rows]);
        check_everywhere(2, shape, [Layout::Columns, Layout::Columns]);
    }
    check_everywhere(0, [4, 4, 4], [Layout::Rows, Layout::Rows]);
}

#[test]
fn a_batch_with_one_right_operand_is_one_product() {
    let view = |batch, row| View { batch: [0, batch, 0], row, column: 1 };
    let spec = GemmSpec {
        dtype: FloatType::F32,
        batch: [1, 6, 1],
        m: 5,
        n: 7,
        k: 3,
        a: view(15, 3),
        b: view(0, 7),
        panels: None,
        c: view(35, 7),
    };
    assert_eq!((spec.merged().m, spec.merged().batch), (30, [1, 1, 1]));
    let own = GemmSpec { b: view(21, 7), ..spec };
    assert_eq!(own.merged(), own);
}

#[test]
fn batches_of_two_axes() {
    // Heads of attention: [2, 5, 3, 8] as batch (2, 3) of [5, 8].
    let (outer, heads, length, width) = (2, 3, 5, 8);
    let strides = [0, (length * heads * width) as isize, width as isize];
    let view = View { batch: strides, row: (heads * width) as isize, column: 1 };
    let spec = GemmSpec {
        dtype: FloatType::F64,
        batch: [1, outer, heads],
        m: length,
        n: length,
        k: width,
        a: view,
        b: View { row: 1, column: view.row, ..view },
        panels: None,
        c: View {
            batch: [0, (heads * length * length) as isize, (length * length) as isize],
            row: length as isize,
            column: 1,
        },
    };
    let q = numbers::<f64>(outer * length * heads * width, 1);
    let mut c = vec![0.0; outer * heads * length * length];
    let scratch = scratch_bytes(Isa::Portable, &spec);
    run_parts(outer * heads * length, length, 2, scratch, |scratch, part, epilogue| {
        // SAFETY: the vectors are as large as the spec says.
        unsafe {
            let q = q.as_ptr().cast();
            gemm(Isa::Portable, &spec, q, q, c.as_mut_ptr().cast(), scratch, part, Some(epilogue));
        }
    });
    for (index, &got) in c.iter().enumerate() {
        let (j, i) = (index % length, index / length % length);
        let (head, o) = (index / length / length % heads, index / length / length / heads);
        let at = |i: usize, p: usize| q[((o * length + i) * heads + head) * width + p];
        let exact: f64 = (0..width).map(|p| at(i, p) * at(j, p)).sum();
        assert!((got - exact).abs() < 1e-13, "{got} for {exact} at {index}");
    }
}

#[test]
fn columns_in_panels_are_read_in_place() {
    for isa in Isa::available() {
        for (width, [m, n, k]) in
            [(16, [3, 96, 70]), (32, [33, 64, 400]), (48, [1, 144, 33]), (64, [200, 64, 9])]
        {
            in_panels::<f32>(isa, width, [m, n, k]);
            in_panels::<f64>(isa, width, [m, n, k]);
        }
    }
}

fn in_panels<T: TestFloat>(isa: Isa, width: usize, [m, n, k]: [usize; 3]) {
    let rows = |columns: usize| View { batch: [0; 3], row: columns as isize, column: 1 };
    let (a, b) = (numbers::<T>(m * k, 1), numbers::<T>(k * n, 2));
    let mut panels = vec![T::default(); k * n];
    for (i, &x) in b.iter().enumerate() {
        let (row, column) = (i / n, i % n);
        panels[(column / width * k + row) * width + column % width] = x;
    }
    let spec = GemmSpec {
        dtype: T::DTYPE,
        batch: [1; 3],
        m,
        n,
        k,
        a: rows(k),
        b: rows(n),
        panels: None,
        c: rows(n),
    };
    let stride = (k * width) as isize;
    let in_panels = GemmSpec { b: rows(width), panels: Some(Panels { width, stride }), ..spec };
    let run = |spec: &GemmSpec, b: &[T], parts: usize| {
        let mut c = vec![T::from_f64(f64::NAN); m * n];
        run_parts(m, n, parts, scratch_bytes(isa, spec), |scratch, part, epilogue| {
            // SAFETY: the vectors are as large as the spec says.
            unsafe {
                let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
                gemm(isa, spec, a, b, c.as_mut_ptr().cast(), scratch, part, Some(epilogue));
            }
        });
        c
    };
    for parts in [1, 2, 3] {
        let c = run(&in_panels, &panels, parts);
        compare(&spec, isa, [&a, &b], [0, 0], &c);
        assert!(c == run(&in_panels, &panels, 1), "{in_panels:?} on {isa} in {parts}: other bits");
    }
}

//! An error names the function that the user called, not one of those that it is made of: each function of tensors that
//! can be called wrongly, with an axis that is not there, shapes that do not fit or an element type that it does not take.

use kiln::prelude::*;
use kiln::{Border, Combine, Index, Interpolation, Resample, Tensor};
use kiln::{
    block_diag, broadcast_tensors, cartesian_prod, column_stack, dstack, hstack, meshgrid, multi_dot, vstack,
};

/// What the functions are called with.
struct Given {
    /// `f32[2, 3]`.
    x: Tensor,
    /// `f32[4, 5]`.
    y: Tensor,
    /// `f32[4]`.
    v: Tensor,
    /// `f32[2, 3, 5, 5]`.
    image: Tensor,
    /// `i64[7]`.
    places: Tensor,
    /// `i64[2, 3]`.
    whole: Tensor,
    /// `f32[3, 3]`.
    square: Tensor,
}

/// A function's name, and a wrong call of it.
type Call = (&'static str, fn(&Given));

/// A table of calls.
macro_rules! calls {
    ($given:ident => $($name:literal: $call:expr;)*) => {
        &[$(($name, |$given| drop($call))),*]
    };
}

/// The first line of the error of each call that does not name its function.
fn wrong_names(calls: &[Call], before: fn(&Given)) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, call) in calls {
        let tracer = Tracer::new("names");
        let input = |name: &str, ty| tracer.input(name, ty);
        let given = Given {
            x: input("x", f32(&[2, 3])),
            y: input("y", f32(&[4, 5])),
            v: input("v", f32(&[4])),
            image: input("image", f32(&[2, 3, 5, 5])),
            places: input("places", i64(&[7])),
            whole: input("whole", i64(&[2, 3])),
            square: input("square", f32(&[3, 3])),
        };
        before(&given);
        call(&given);
        let text = tracer.check().err().map_or("no error".to_string(), |error| error.to_string());
        let first = text.lines().next().unwrap_or_default();
        if !first.contains(&format!("`{name}`")) {
            wrong.push(format!("{name}: {first}"));
        }
    }
    wrong
}

#[track_caller]
fn check(calls: &[Call]) {
    let wrong = wrong_names(calls, |_| ());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn elementwise_functions() {
    check(calls! { a =>
        "add": a.x.add(&a.v);
        "sub": a.x.sub(&a.v);
        "mul": a.x.mul(&a.v);
        "div": a.x.div(&a.v);
        "div_trunc": a.x.div_trunc(&a.v);
        "div_floor": a.x.div_floor(&a.v);
        "fmod": a.x.fmod(&a.v);
        "remainder": a.x.remainder(&a.v);
        "pow": a.x.pow(&a.v);
        "maximum": a.x.maximum(&a.v);
        "minimum": a.x.minimum(&a.v);
        "fmax": a.x.fmax(&a.v);
        "fmin": a.x.fmin(&a.v);
        "heaviside": a.x.heaviside(&a.v);
        "ldexp": a.x.ldexp(&a.v);
        "atan2": a.x.atan2(&a.v);
        "hypot": a.x.hypot(&a.v);
        "logaddexp": a.x.logaddexp(&a.v);
        "logaddexp2": a.x.logaddexp2(&a.v);
        "xlogy": a.x.xlogy(&a.v);
        "xlog1py": a.x.xlog1py(&a.v);
        "copysign": a.x.copysign(&a.v);
        "nextafter": a.x.nextafter(&a.v);
        "zeta": a.x.zeta(&a.v);
        "igamma": a.x.igamma(&a.v);
        "igammac": a.x.igammac(&a.v);
        "gcd": a.whole.gcd(&a.places);
        "lcm": a.whole.lcm(&a.places);
        "select": a.x.select(&a.v, 0.0);
        "where": where_(&a.x, &a.v, 0.0);
        "masked_fill": a.x.masked_fill(&a.v, 0.0);
        "clamp": a.x.clamp(&a.v, 1.0);
        "clamp_min": a.x.clamp_min(&a.v);
        "clamp_max": a.x.clamp_max(&a.v);
        "lerp": a.x.lerp(&a.v, 0.5);
        "addcmul": a.x.addcmul(&a.v, &a.v, 1.0);
        "addcdiv": a.x.addcdiv(&a.v, &a.v, 1.0);
        "eq": a.x.eq(&a.v);
        "ne": a.x.ne(&a.v);
        "lt": a.x.lt(&a.v);
        "le": a.x.le(&a.v);
        "gt": a.x.gt(&a.v);
        "ge": a.x.ge(&a.v);
        "isclose": a.x.isclose(&a.v, 1e-5, 1e-8, false);
        "allclose": a.x.allclose(&a.v, 1e-5, 1e-8, false);
        "logical_and": a.x.logical_and(&a.v);
        "logical_or": a.x.logical_or(&a.v);
        "logical_xor": a.x.logical_xor(&a.v);
        "bitwise_and": a.x.bitwise_and(&a.v);
        "bitwise_or": a.x.bitwise_or(&a.v);
        "bitwise_xor": a.x.bitwise_xor(&a.v);
        "bitwise_not": a.x.bitwise_not();
        "shift_left": a.x.shift_left(&a.v);
        "shift_right": a.x.shift_right(&a.v);
        "prelu": a.x.prelu(&a.v);
        "frexp": a.whole.frexp();
    });
}

#[test]
fn reductions() {
    check(calls! { a =>
        "sum": a.x.sum(2);
        "prod": a.x.prod(2);
        "max": a.x.max(2);
        "min": a.x.min(2);
        "mean": a.x.mean(2);
        "var": a.x.var(2, 1.0);
        "std": a.x.std(2, 1.0);
        "logsumexp": a.x.logsumexp(2);
        "norm": a.x.norm(2.0, 2);
        "any": a.x.any(2);
        "all": a.x.all(2);
        "argmax": a.x.argmax(2);
        "argmin": a.x.argmin(2);
        "cumsum": a.x.cumsum(2);
        "cumprod": a.x.cumprod(2);
        "cummax": a.x.cummax(2);
        "cummin": a.x.cummin(2);
        "logcumsumexp": a.x.logcumsumexp(2);
        "diff": a.x.diff(1, 2);
        "trapezoid": a.x.trapezoid(None, 2);
        "cumulative_trapezoid": a.x.cumulative_trapezoid(None, 2);
        "slope": a.x.slope(1.0, 2, 1);
        "slope_at": a.x.slope_at(&a.v, 1, 1);
        "nansum": a.x.nansum(2);
        "nanmean": a.x.nanmean(2);
        "var_mean": a.x.var_mean(2, 1.0);
        "std_mean": a.x.std_mean(2, 1.0);
        "aminmax": a.x.aminmax(2);
        "segment_reduce": a.x.segment_reduce(&a.whole, 0, Combine::Sum, None);
        "count_nonzero": a.x.count_nonzero(2);
        "max_along": a.x.max_along(2, false);
        "min_along": a.x.min_along(2, false);
        "dist": a.x.dist(&a.v, 2.0);
        "sum_to": a.x.sum_to([5]);
        "cov": a.image.cov(1.0, None, None);
        "corrcoef": a.image.corrcoef();
        "sort": a.x.sort(2, false);
        "argsort": a.x.argsort(2, false);
        "topk": a.x.topk(1, 2, true);
        "kthvalue": a.x.kthvalue(1, 2, false);
        "median": a.x.median(2, false);
        "nanmedian": a.x.nanmedian(2, false);
        "mode": a.x.mode(2, false);
        "quantile": a.x.quantile(&a.v, 2, false, Interpolation::Linear);
        "nanquantile": a.x.nanquantile(&a.v, 2, false, Interpolation::Linear);
        "softmax": a.x.softmax(2);
        "log_softmax": a.x.log_softmax(2);
        "softmin": a.x.softmin(2);
        "normalize": a.x.normalize(2.0, 2, 1e-12);
        "renorm": a.x.renorm(2.0, 2, 1.0);
        "cosine_similarity": a.x.cosine_similarity(&a.v, 1, 1e-8);
        "pairwise_distance": a.x.pairwise_distance(&a.v, 2.0, 1e-6);
        "cdist": a.x.cdist(&a.y, 2.0);
        "pdist": a.v.pdist(2.0);
        "searchsorted": a.x.searchsorted(&a.image, false);
        "histogram": a.x.histogram(&a.x, None, false);
    });
}

#[test]
fn shapes() {
    check(calls! { a =>
        "reshape": a.x.reshape([4, 2]);
        "flatten": a.x.flatten(0, 2);
        "unflatten": a.x.unflatten(1, [2, 2]);
        "squeeze": a.x.squeeze(2);
        "unsqueeze": a.x.unsqueeze(4);
        "permute": a.x.permute([0, 2]);
        "transpose": a.x.transpose(0, 2);
        "t": a.image.t();
        "movedim": a.x.movedim(0, 2);
        "movedims": a.x.movedims([0], [2]);
        "flip": a.x.flip(2);
        "rot90": a.x.rot90(1, [0, 2]);
        "repeat": a.x.repeat([2]);
        "repeat_interleave": a.x.repeat_interleave(&[1], 2);
        "windows": a.x.windows(2, 1, 1);
        "as_strided": a.x.as_strided(&[9], &[1], 0);
        "as_strided_scatter": a.x.as_strided_scatter(&a.v, &[9], &[1], 0);
        "tensor_split": a.x.tensor_split(2, 2);
        "split_at": a.x.split_at(&[1], 2);
        "channel_shuffle": a.image.channel_shuffle(2);
        "pixel_shuffle": a.image.pixel_shuffle(2);
        "pixel_unshuffle": a.image.pixel_unshuffle(2);
        "combinations": a.x.combinations(2, false);
        "hstack": hstack(&[&a.x, &a.y]);
        "vstack": vstack(&[&a.x, &a.y]);
        "dstack": dstack(&[&a.x, &a.y]);
        "column_stack": column_stack(&[&a.x, &a.y]);
        "broadcast_tensors": broadcast_tensors(&[&a.x, &a.y]);
        "meshgrid": meshgrid(&[&a.x, &a.v], false);
        "cartesian_prod": cartesian_prod(&[&a.x, &a.v]);
        "broadcast_to": a.x.broadcast_to([5]);
        "expand": a.x.expand([5, 5]);
        "expand_as": a.x.expand_as(&a.y);
        "cat": cat(&[&a.x, &a.y], 0);
        "stack": stack(&[&a.x, &a.y], 0);
        "slice": a.x.slice(2, ..1);
        "slice_step": a.x.slice_step(2, ..1, 2);
        "narrow": a.x.narrow(1, 2, 2);
        "select_index": a.x.select_index(2, 0);
        "split": a.x.split(1, 2);
        "split_sizes": a.x.split_sizes(&[1], 1);
        "chunk": a.x.chunk(2, 2);
        "unbind": a.x.unbind(2);
        "pad": a.x.pad(&[(0, 1), (0, 1), (0, 1)], 0.0);
        "pad_with": a.x.pad_with(&[(9, 1)], Border::Reflect);
        "roll": a.x.roll(1, 2);
        "tril": a.v.tril(0);
        "triu": a.v.triu(0);
        "diagonal": a.v.diagonal(0, 0, 1);
        "diagonal_scatter": a.x.diagonal_scatter(&a.v, 0, 0, 1);
        "diag_embed": a.v.diag_embed(0, 0, 5);
        "diag": a.image.diag(0);
        "trace": a.v.trace();
        "block_diag": block_diag(&[&a.x, &a.image]);
    });
}

#[test]
fn indices() {
    check(calls! { a =>
        "gather": a.x.gather(2, &a.whole);
        "scatter_add": a.x.scatter_add(2, &a.whole, &a.x);
        "scatter": a.x.scatter(2, &a.whole, &a.x);
        "scatter_reduce": a.x.scatter_reduce(2, &a.whole, &a.x, Combine::Max, true);
        "index_select": a.x.index_select(2, &a.places);
        "index_copy": a.x.index_copy(0, &a.places, &a.y);
        "index_add": a.x.index_add(0, &a.places, &a.y, 1.0);
        "index_reduce": a.x.index_reduce(0, &a.places, &a.y, Combine::Max, true);
        "index_fill": a.x.index_fill(2, &a.places, 0.0);
        "index": a.x.index(&[Index::At(5)]);
        "index_put": a.x.index_put(std::slice::from_ref(&a.places), &a.v, false);
        "take": a.x.take(&a.x);
        "take_along": a.x.take_along(&a.whole, 2);
        "put": a.x.put(&a.places, &a.v, false);
        "select_scatter": a.x.select_scatter(&a.v, 0, 5);
        "slice_scatter": a.x.slice_scatter(&a.y, 0, 0, 1, 1);
        "masked_scatter": a.x.masked_scatter(&a.v, &a.x);
        "embedding": a.x.embedding(&a.x);
        "embedding_padded": a.v.embedding_padded(&a.places, 0);
        "embedding_bag": a.v.embedding_bag(&a.whole, Combine::Sum, None, None);
        "embedding_bag_at": a.x.embedding_bag_at(&a.whole, &a.places, Combine::Sum, None, None);
        "rows_renormed": a.x.rows_renormed(&a.v, 2.0, 1.0);
        "one_hot": a.x.one_hot(3);
        "unravel_index": a.x.unravel_index(&[2, 3]);
        "bincount": a.x.bincount(3, None);
    });
}

#[test]
fn matrices() {
    check(calls! { a =>
        "matmul": a.x.matmul(&a.y);
        "bmm": a.x.bmm(&a.y);
        "mm": a.x.mm(&a.y);
        "mv": a.x.mv(&a.v);
        "dot": a.x.dot(&a.v);
        "outer": a.x.outer(&a.v);
        "addmm": a.x.addmm(&a.x, &a.y, 1.0, 1.0);
        "baddbmm": a.x.baddbmm(&a.x, &a.y, 1.0, 1.0);
        "addbmm": a.x.addbmm(&a.x, &a.y, 1.0, 1.0);
        "addmv": a.x.addmv(&a.x, &a.v, 1.0, 1.0);
        "addr": a.x.addr(&a.x, &a.v, 1.0, 1.0);
        "inner": a.x.inner(&a.y);
        "vecdot": a.x.vecdot(&a.v, -1);
        "cross": a.x.cross(&a.v, -1);
        "linear": a.x.linear(&a.y, None);
        "bilinear": a.x.bilinear(&a.x, &a.y, None);
        "tensordot": a.x.tensordot(&a.y, [0], [0]);
        "einsum": einsum("ij,jk->ik", &[&a.x, &a.y]);
        "multi_dot": multi_dot(&[&a.x, &a.y]);
        "matrix_power": a.x.matrix_power(2);
        "frobenius_norm": a.x.frobenius_norm([0, 2], false);
        "matrix_norm": a.x.matrix_norm(1.0, [0, 2], false);
        "nuclear_norm": a.x.nuclear_norm([0, 2], false);
        "solve": a.square.solve(&a.y);
        "inverse": a.x.inverse();
        "det": a.x.det();
        "slogdet": a.x.slogdet();
        "logdet": a.x.logdet();
        "lu": a.v.lu();
        "lu_factor": a.v.lu_factor();
        "lu_unpack": a.v.lu_unpack(&a.places);
        "lu_solve": a.x.lu_solve(&a.places, &a.y, true, false);
        "ldl_factor": a.x.ldl_factor();
        "ldl_solve": a.square.ldl_solve(&a.places, &a.y);
        "cholesky": a.x.cholesky();
        "cholesky_solve": a.square.cholesky_solve(&a.y, false);
        "cholesky_inverse": a.x.cholesky_inverse(false);
        "solve_triangular": a.square.solve_triangular(&a.y, true, false);
        "qr": a.v.qr(false);
        "geqrf": a.v.geqrf();
        "householder_product": a.v.householder_product(&a.v);
        "ormqr": a.y.ormqr(&a.v, &a.x, true, false);
        "matrix_exp": a.x.matrix_exp();
        "lstsq": a.x.lstsq(&a.y);
        "eigh": a.x.eigh();
        "eigvalsh": a.x.eigvalsh();
        "matrix_sqrth": a.x.matrix_sqrth();
        "svd": a.v.svd(false);
        "svdvals": a.v.svdvals();
        "matrix_rank": a.v.matrix_rank();
        "matrix_rank_within": a.v.matrix_rank_within(0.0, 0.0);
        "cond": a.v.cond(2.0);
        "pinverse": a.v.pinverse();
        "pinverse_within": a.v.pinverse_within(0.0, 0.0);
        "polar": a.v.polar();
        "attention": a.x.attention(&a.y, &a.y, None, false);
    });
}

#[test]
fn windows_and_norms() {
    check(calls! { a =>
        "conv1d": a.image.conv1d(&a.image, None, ConvOptions::new());
        "conv2d": a.image.conv2d(&a.x, None, ConvOptions::new());
        "conv3d": a.image.conv3d(&a.image, None, ConvOptions::new());
        "conv_transpose1d": a.image.conv_transpose1d(&a.image, None, ConvOptions::new());
        "conv_transpose2d": a.image.conv_transpose2d(&a.x, None, ConvOptions::new());
        "conv_transpose3d": a.image.conv_transpose3d(&a.image, None, ConvOptions::new());
        "max_pool1d": a.v.max_pool1d(9);
        "max_pool2d": a.x.max_pool2d(9);
        "max_pool3d": a.image.max_pool3d(9);
        "max_pool_with_indices": a.image.max_pool_with_indices(2, 9);
        "avg_pool1d": a.v.avg_pool1d(9);
        "avg_pool2d": a.x.avg_pool2d(9);
        "avg_pool3d": a.image.avg_pool3d(9);
        "sum_pool": a.x.sum_pool(2, 9, 1.0);
        "lp_pool": a.x.lp_pool(2, 2.0, 9);
        "adaptive_avg_pool": a.x.adaptive_avg_pool([1, 1, 1]);
        "adaptive_max_pool": a.x.adaptive_max_pool([1, 1, 1]);
        "adaptive_max_pool_with_indices": a.x.adaptive_max_pool_with_indices([1, 1, 1]);
        "fractional_max_pool": a.image.fractional_max_pool(&[9, 9], &[2, 2], &a.image);
        "max_unpool": a.x.max_unpool(&a.whole, [1, 1, 1]);
        "im2col": a.v.im2col(2);
        "col2im": a.v.col2im([4, 4], 2);
        "interpolate": a.x.interpolate(&[4, 4], &[], Resample::Nearest);
        "upsample_nearest": a.x.upsample_nearest([2, 2]);
        "grid_sample": a.image.grid_sample(&a.x, Resample::Nearest, Border::Constant(0.0), false);
        "batch_norm": a.v.batch_norm(None, None, 1e-5);
        "normalized_by": a.v.normalized_by(&a.v, &a.v, None, None, 1e-5);
        "instance_norm": a.v.instance_norm(None, None, 1e-5);
        "group_norm": a.image.group_norm(2, None, None, 1e-5);
        "local_response_norm": a.v.local_response_norm(3, 1e-4, 0.75, 1.0);
        "layer_norm": a.x.layer_norm(3, None, None, 1e-5);
        "rms_norm": a.x.rms_norm(3, None, 1e-5);
        "glu": a.x.glu(2);
        "attention_scaled": a.x.attention_scaled(&a.y, &a.y, None, false, 1.0, 0.0);
    });
}

/// In training, without random numbers to draw.
#[test]
fn draws() {
    let training = |a: &Given| a.x.tracer().set_training(true);
    let draws: &[Call] = calls! { a =>
        "dropout": a.x.dropout(0.5);
        "dropout_channels": a.image.dropout_channels(0.5);
        "rrelu": a.x.rrelu(0.1, 0.3);
        "rand_like": a.x.rand_like();
        "randn_like": a.x.randn_like();
        "rand": a.x.tracer().rand(f32(&[3]));
        "randn": a.x.tracer().randn(f32(&[3]));
        "arange": a.x.tracer().arange(DType::F32, 0.0, 1.0, 0.0);
    };
    let wrong = wrong_names(draws, training);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Convolutions against loops over every axis in f64.

use super::*;
use crate::kernels::testing::{TestFloat, numbers, run_parts};

/// A convolution in the words of a layer, of contiguous operands.
#[derive(Clone, Copy, Debug)]
struct Layer {
    images: usize,
    groups: usize,
    in_channels: usize,
    out_channels: usize,
    input: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    low: [isize; 3],
    high: [isize; 3],
    input_dilation: [usize; 3],
    kernel_dilation: [usize; 3],
}

const PLAIN: Layer = Layer {
    images: 2,
    groups: 1,
    in_channels: 3,
    out_channels: 5,
    input: [1, 6, 7],
    kernel: [1, 3, 3],
    stride: [1; 3],
    low: [0; 3],
    high: [0; 3],
    input_dilation: [1; 3],
    kernel_dilation: [1; 3],
};

/// Strides of a contiguous array.
fn contiguous<const N: usize>(extents: [usize; N]) -> [isize; N] {
    std::array::from_fn(|axis| extents[axis + 1..].iter().product::<usize>() as isize)
}

impl Layer {
    fn spec(&self, dtype: FloatType) -> ConvSpec {
        let [i, k] = [self.input, self.kernel];
        let x = contiguous([self.images, self.groups * self.in_channels, i[0], i[1], i[2]]);
        let w = contiguous([self.groups * self.out_channels, self.in_channels, k[0], k[1], k[2]]);
        let axes = std::array::from_fn(|s| {
            let input = (i[s].max(1) - 1) * self.input_dilation[s] + usize::from(i[s] > 0);
            let reach = (k[s].max(1) - 1) * self.kernel_dilation[s] + 1;
            let padded = input as isize + self.low[s] + self.high[s];
            let steps = (padded - reach as isize).div_euclid(self.stride[s] as isize);
            Axis {
                input: i[s],
                kernel: k[s],
                output: (steps + 1).max(0) as usize,
                stride: self.stride[s],
                low: self.low[s],
                input_dilation: self.input_dilation[s],
                kernel_dilation: self.kernel_dilation[s],
                x: x[2 + s],
                w: w[2 + s],
            }
        });
        let mut spec = ConvSpec {
            dtype,
            images: self.images,
            groups: self.groups,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            axes,
            x_image: x[0],
            x_channel: x[1],
            w_out: w[0],
            w_in: w[1],
            y_image: 0,
            y_channel: 0,
        };
        spec.y_channel = spec.positions() as isize;
        spec.y_image = spec.y_channel * (self.groups * self.out_channels) as isize;
        spec
    }
}

/// The value of `y` by definition; `x` and `w` begin at the offsets.
fn reference<T: TestFloat>(
    spec: &ConvSpec,
    [x, w]: [(&[T], usize); 2],
    [image, channel, position]: [usize; 3],
) -> f64 {
    let group = channel / spec.out_channels;
    let mut sum = 0.0;
    let kernel: usize = spec.axes.iter().map(|axis| axis.kernel).product();
    for c in 0..spec.in_channels {
        'kernel: for q in 0..kernel {
            let (mut p, mut q) = (position, q);
            let mut x_at =
                image as isize * spec.x_image + (group * spec.in_channels + c) as isize * spec.x_channel;
            let mut w_at = channel as isize * spec.w_out + c as isize * spec.w_in;
            for axis in spec.axes.iter().rev() {
                let (p_axis, q_axis) = (p % axis.output, q % axis.kernel);
                (p, q) = (p / axis.output, q / axis.kernel);
                let at = (p_axis * axis.stride + q_axis * axis.kernel_dilation) as isize - axis.low;
                let dilation = axis.input_dilation as isize;
                if at < 0 || at % dilation != 0 || at / dilation >= axis.input as isize {
                    continue 'kernel;
                }
                x_at += at / dilation * axis.x;
                w_at += q_axis as isize * axis.w;
            }
            sum += x.0[x.1.strict_add_signed(x_at)].to_f64() * w.0[w.1.strict_add_signed(w_at)].to_f64();
        }
    }
    sum
}

/// Runs a spec whose `x` and `w` begin at the offsets, in several parts; returns `y` of `size` elements.
fn run<T: TestFloat>(isa: Isa, spec: &ConvSpec, [x, w]: [(&[T], usize); 2], size: usize) -> Vec<T> {
    let rows = spec.images * spec.groups * spec.out_channels;
    let mut first: Option<Vec<T>> = None;
    for parts in [1, 2, 3, 7] {
        let mut y = vec![T::from_f64(f64::NAN); size];
        let scratch = scratch_bytes(isa, spec);
        let seen = run_parts(rows, spec.positions(), parts, scratch, |scratch, part, epilogue| {
            // SAFETY: the vectors are as large as the spec says.
            unsafe {
                let [x, w] = [x, w].map(|(data, first)| data.as_ptr().wrapping_add(first).cast());
                conv(isa, spec, x, w, y.as_mut_ptr().cast(), scratch, part, Some(epilogue));
            }
        });
        assert!(seen.iter().all(|&n| n == 1), "{spec:?} on {isa} in {parts}: epilogue");
        let first = first.get_or_insert_with(|| y.clone());
        let bits = |y: &[T]| y.iter().map(|y| y.to_f64().to_bits()).collect::<Vec<_>>();
        assert!(bits(first) == bits(&y), "{spec:?} on {isa} in {parts}: other bits");
    }
    first.unwrap()
}

fn compare<T: TestFloat>(isa: Isa, spec: &ConvSpec, operands: [(&[T], usize); 2], y: &[T]) {
    let depth = spec.extents().depth as f64;
    for image in 0..spec.images {
        for channel in 0..spec.groups * spec.out_channels {
            for position in 0..spec.positions() {
                let exact = reference(spec, operands, [image, channel, position]);
                let at = image as isize * spec.y_image + channel as isize * spec.y_channel;
                let got = y[at as usize + position].to_f64();
                assert!(
                    (got - exact).abs() <= T::TOLERANCE * (depth + 1.0),
                    "{spec:?} on {isa}: {got} for {exact} at {image}, {channel}, {position}"
                );
            }
        }
    }
}

fn check_spec<T: TestFloat>(isa: Isa, spec: &ConvSpec) {
    let span = |axes: &[(usize, isize)]| -> usize {
        axes.iter().map(|&(extent, stride)| extent * stride.unsigned_abs()).sum::<usize>() + 1
    };
    let axes = &spec.axes;
    let x_size = span(&[
        (spec.images, spec.x_image),
        (spec.groups * spec.in_channels, spec.x_channel),
        (axes[0].input, axes[0].x),
        (axes[1].input, axes[1].x),
        (axes[2].input, axes[2].x),
    ]);
    let w_size = span(&[
        (spec.groups * spec.out_channels, spec.w_out),
        (spec.in_channels, spec.w_in),
        (axes[0].kernel, axes[0].w),
        (axes[1].kernel, axes[1].w),
        (axes[2].kernel, axes[2].w),
    ]);
    let (x, w) = (numbers::<T>(x_size, 3), numbers::<T>(w_size, 4));
    // Where strides are negative the first element is not the lowest.
    let first = |negative: [(usize, isize); 3]| {
        negative.iter().map(|&(n, stride)| (n.max(1) - 1) * (-stride).max(0) as usize).sum::<usize>()
    };
    let operands = [
        (&x[..], first(axes.map(|axis| (axis.input, axis.x)))),
        (&w[..], first(axes.map(|axis| (axis.kernel, axis.w)))),
    ];
    let rows = spec.groups * spec.out_channels;
    let size = spec.images * spec.y_image as usize + rows * spec.y_channel as usize + spec.positions();
    let y = run(isa, spec, operands, size);
    compare(isa, spec, operands, &y);
}

fn check(layer: Layer) {
    for isa in Isa::available() {
        check_spec::<f32>(isa, &layer.spec(FloatType::F32));
        check_spec::<f64>(isa, &layer.spec(FloatType::F64));
    }
}

#[test]
fn plain() {
    check(PLAIN);
    check(Layer { images: 3, in_channels: 4, out_channels: 17, input: [1, 9, 40], ..PLAIN });
    check(Layer { images: 1, input: [4, 5, 6], kernel: [2, 3, 2], ..PLAIN });
    check(Layer { input: [1, 1, 50], kernel: [1, 1, 5], ..PLAIN });
    check(Layer { input: [1, 3, 3], ..PLAIN });
}

#[test]
fn pointwise_axes_become_one() {
    let layer = Layer { kernel: [1; 3], input: [3, 5, 7], ..PLAIN };
    let merged = layer.spec(FloatType::F32).merged();
    assert_eq!(merged.axes.map(|axis| axis.output), [1, 1, 105]);
    check(layer);
    let padded = Layer { low: [0, 1, 0], ..layer }.spec(FloatType::F32);
    assert_eq!(padded.merged(), padded);
}

#[test]
fn pads_of_any_sign() {
    check(Layer { low: [0, 1, 1], high: [0, 1, 1], ..PLAIN });
    check(Layer { low: [0, 2, 3], high: [0, 0, 4], input: [1, 6, 33], ..PLAIN });
    check(Layer { low: [0, -1, -2], high: [0, 1, -1], ..PLAIN });
    check(Layer { low: [0, 20, 20], high: [0, 5, 5], ..PLAIN });
}

#[test]
fn strides_and_dilations() {
    check(Layer { stride: [1, 2, 2], low: [0, 1, 1], high: [0, 1, 1], ..PLAIN });
    check(Layer { stride: [1, 3, 1], input: [1, 9, 20], ..PLAIN });
    check(Layer { kernel_dilation: [1, 2, 2], low: [0, 1, 2], ..PLAIN });
    check(Layer { input_dilation: [1, 2, 3], low: [0, 2, 2], high: [0, 2, 2], ..PLAIN });
    check(Layer { input_dilation: [1, 2, 1], stride: [1, 1, 2], kernel_dilation: [1, 1, 3], ..PLAIN });
    check(Layer { kernel: [1, 2, 9], stride: [1, 1, 2], input: [1, 5, 30], low: [0, 0, 3], ..PLAIN });
    let volume = Layer { input: [5, 13, 47], low: [1, 2, 1], high: [0, 1, 3], ..PLAIN };
    for stride in [[1, 2, 2], [2, 3, 4], [1, 1, 5]] {
        check(Layer { stride, kernel: [2, 4, 4], ..volume });
        check(Layer { stride, kernel: [1, 1, 1], ..volume });
        check(Layer { stride, kernel: [1, 3, 2], kernel_dilation: [1, 2, 4], ..volume });
    }
    check(Layer { stride: [1, 2, 2], low: [0, -1, -3], high: [0, 4, 9], input: [1, 9, 20], ..PLAIN });
}

#[test]
fn groups() {
    check(Layer { groups: 2, ..PLAIN });
    check(Layer { groups: 6, in_channels: 1, out_channels: 1, low: [0, 1, 1], high: [0, 1, 1], ..PLAIN });
    check(Layer { groups: 3, in_channels: 2, out_channels: 20, input: [1, 9, 9], ..PLAIN });
    // A kernel as large as the image.
    check(Layer { groups: 2, out_channels: 16, input: [1, 12, 12], kernel: [1, 10, 10], ..PLAIN });
}

#[test]
fn nothing() {
    check(Layer { images: 0, ..PLAIN });
    check(Layer { out_channels: 0, ..PLAIN });
    check(Layer { in_channels: 0, ..PLAIN });
    check(Layer { input: [1, 2, 2], ..PLAIN });
    check(Layer { input: [1, 0, 4], low: [0, 2, 2], high: [0, 2, 2], ..PLAIN });
}

#[test]
fn several_blocks_of_depth() {
    check(Layer { images: 1, in_channels: 90, out_channels: 15, input: [1, 5, 6], ..PLAIN });
}

#[test]
fn several_bands_of_rows() {
    let layer = Layer { images: 1, in_channels: 64, out_channels: 3, input: [1, 33, 40], ..PLAIN };
    let spec = Layer { low: [0, 1, 1], high: [0, 1, 1], ..layer }.spec(FloatType::F32);
    for isa in Isa::available() {
        let layout = direct::Layout::new(f32::routines(isa), &spec).expect("few output channels");
        assert!(layout.n_bands(&spec) > 1, "the band is smaller than the image");
        check_spec::<f32>(isa, &spec);
    }
    check(Layer {
        input: [3, 20, 30],
        kernel: [2, 3, 3],
        kernel_dilation: [1, 2, 1],
        low: [1, 1, 1],
        ..layer
    });
}

/// Rows of the output that are shorter than a vector, and several images in a panel of columns.
#[test]
fn small_images() {
    let padded = Layer { low: [0, 1, 1], high: [0, 1, 1], ..PLAIN };
    for extent in [1, 2, 3, 4, 8, 11, 16] {
        let small = Layer { images: 5, in_channels: 9, input: [1, extent, extent], ..padded };
        check(small);
        let kernel = [1, 4, 4];
        check(Layer { stride: [1, 2, 2], kernel, input: [1, 2 * extent, 2 * extent], ..small });
        let input = [2, extent, extent];
        check(Layer { kernel: [2, 2, 2], low: [1, 1, 0], high: [1, 0, 1], input, in_channels: 2, ..small });
    }
    // All images are one.
    let spec = Layer { images: 7, stride: [1, 2, 2], ..padded }.spec(FloatType::F32);
    for isa in Isa::available() {
        check_spec::<f32>(isa, &ConvSpec { x_image: 0, ..spec });
    }
}

/// Images whose channels are innermost, as a normalization over channels leaves them.
#[test]
fn channels_are_innermost() {
    let same = Layer { low: [0, 1, 1], high: [0, 1, 1], input: [1, 12, 22], images: 3, ..PLAIN };
    let depthwise = Layer { groups: 6, in_channels: 1, out_channels: 1, ..same };
    let crop = Layer { low: [0, -1, -2], high: [0, 1, 3], ..same };
    let volume = Layer { input: [4, 6, 9], kernel: [2, 3, 3], ..same };
    let tiles = Layer { in_channels: 16, out_channels: 17, ..same };
    let plain = [same, depthwise, crop, volume, tiles].map(|layer| layer.spec(FloatType::F32));
    let weights = Layer { in_channels: 7, out_channels: 16, ..same };
    for mut spec in plain.into_iter().chain([gradient_of_the_weights(weights)]) {
        // What lies behind one another in an image: the images themselves, where they are the channels of a gradient.
        let is_gradient = spec.images == 7;
        let n = if is_gradient { spec.images } else { spec.groups * spec.in_channels };
        spec.axes.iter_mut().for_each(|axis| axis.x *= n as isize);
        *(if is_gradient { &mut spec.x_image } else { &mut spec.x_channel }) = 1;
        assert!(!matches!(Method::new(f32::routines(Isa::Portable), &spec), Method::Packed));
        for isa in Isa::available() {
            check_spec::<f32>(isa, &spec);
            check_spec::<f64>(isa, &ConvSpec { dtype: FloatType::F64, ..spec });
        }
    }
}

/// What decides whether columns are packed is the work, not whether the result is right: both ways are tested.
#[test]
fn many_channels_and_narrow_images_are_packed() {
    let direct = |layer: Layer| {
        direct::Layout::new(f32::routines(Isa::Portable), &layer.spec(FloatType::F32)).is_some()
    };
    let wide = Layer { in_channels: 32, out_channels: 64, input: [1, 26, 26], ..PLAIN };
    assert!(direct(wide));
    assert!(!direct(Layer { input: [1, 6, 6], ..wide }), "half of each row is thrown away");
    assert!(!direct(Layer { in_channels: 512, out_channels: 512, ..wide }), "the weights are too large");
    assert!(!direct(Layer { stride: [1, 2, 2], ..wide }), "the window jumps");
}

/// The gradient of `x`: `dy` with the kernel reversed and its channels exchanged.
#[test]
fn gradient_of_the_input() {
    let (images, channels, out) = (2, 3, 5);
    let forward = Layer { low: [0, 1, 1], high: [0, 1, 1], ..PLAIN }.spec(FloatType::F32);
    let mut spec = Layer {
        images,
        in_channels: out,
        out_channels: channels,
        input: forward.axes.map(|axis| axis.output),
        low: [0, 1, 1],
        high: [0, 1, 1],
        ..PLAIN
    }
    .spec(FloatType::F32);
    (spec.w_out, spec.w_in) = (forward.w_in, forward.w_out);
    for axis in &mut spec.axes {
        axis.w = -axis.w;
    }
    assert_eq!(spec.axes.map(|axis| axis.output), forward.axes.map(|axis| axis.input));
    for isa in Isa::available() {
        check_spec::<f32>(isa, &spec);
    }
}

/// The gradient of `w` of a layer: `x` with channels as images, `dy` as the kernel, the result written as
/// `[o, c, h, w]`.
fn gradient_of_the_weights(layer: Layer) -> ConvSpec {
    let forward = layer.spec(FloatType::F32);
    let mut spec = forward;
    (spec.images, spec.in_channels) = (forward.in_channels, forward.images);
    (spec.x_image, spec.x_channel) = (forward.x_channel, forward.x_image);
    (spec.w_out, spec.w_in) = (forward.y_channel, forward.y_image);
    (spec.y_image, spec.y_channel) = (forward.w_in, forward.w_out);
    let dy = contiguous(forward.axes.map(|axis| axis.output));
    for (axis, stride) in spec.axes.iter_mut().zip(dy) {
        (axis.kernel, axis.output) = (axis.output, axis.kernel);
        (axis.stride, axis.kernel_dilation) = (axis.kernel_dilation, axis.stride);
        axis.w = stride;
    }
    spec
}

#[test]
fn gradients_of_weights() {
    let layer = Layer { images: 3, in_channels: 7, out_channels: 15, ..PLAIN };
    for (pad, input) in [(0, [1, 9, 22]), (1, [1, 8, 26]), (2, [1, 6, 18])] {
        let same = Layer { low: [0, pad, pad], high: [0, pad, pad], input, ..layer };
        let volume = Layer { input: [3, input[1], input[2]], kernel: [2, 3, 3], images: 2, ..same };
        let strided = Layer { stride: [1, 2, 2], input: [1, 2 * input[1], 2 * input[2]], ..same };
        let blocks = Layer { out_channels: 45, images: 1, input: [1, 30, 40], ..same };
        for layer in [same, volume, strided, blocks, Layer { kernel_dilation: [1, 2, 1], ..same }] {
            let spec = gradient_of_the_weights(layer);
            for isa in Isa::available() {
                check_spec::<f32>(isa, &spec);
                check_spec::<f64>(isa, &ConvSpec { dtype: FloatType::F64, ..spec });
            }
        }
    }
}

/// The other way to compute a convolution: see above.
#[test]
fn weights_of_few_channels_are_not_packed() {
    let whole = Layer { images: 3, in_channels: 7, out_channels: 16, input: [1, 12, 22], ..PLAIN };
    let exchanged = |layer: Layer| {
        matches!(
            Method::new(f32::routines(Isa::Portable), &gradient_of_the_weights(layer)),
            Method::Weights(_)
        )
    };
    assert!(exchanged(whole));
    assert!(!exchanged(Layer { input: [1, 4, 5], ..whole }), "little depth");
    assert!(!exchanged(Layer { out_channels: 300, ..whole }), "packing is little of the work");
}

#[test]
fn tiles_of_two_by_two() {
    let many = Layer { images: 7, in_channels: 17, out_channels: 19, input: [1, 10, 12], ..PLAIN };
    let is_winograd = |layer: Layer| {
        matches!(Method::new(f32::routines(Isa::Portable), &layer.spec(FloatType::F32)), Method::Winograd(_))
    };
    assert!(is_winograd(many));
    assert!(!is_winograd(Layer { in_channels: 15, ..many }), "few channels");
    assert!(!is_winograd(Layer { input: [1, 5, 5], ..many }), "7 of 16 outputs are thrown away");
    assert!(!is_winograd(Layer { stride: [1, 2, 1], ..many }), "the window jumps");
    assert!(!is_winograd(Layer { images: 6, ..many }), "few tiles");
    check(many);
    for (pad, input) in [(1, [1, 8, 10]), (1, [1, 9, 7]), (2, [1, 15, 37]), (0, [1, 16, 72])] {
        let padded = Layer { low: [0, pad, pad], high: [0, pad, pad], input, ..many };
        assert!(is_winograd(padded));
        check(padded);
        check(Layer { groups: 2, out_channels: 33, low: [0, pad + 1, pad - 1], ..padded });
    }
    check(Layer { images: 0, ..many });
    // More channels than one block of them and than one block of depth, and images of one row of tiles.
    check(Layer { images: 65, in_channels: 400, out_channels: 20, input: [1, 4, 6], ..many });
}

/// What an output is made of does not overflow or vanish where the definition does not.
#[test]
fn tiles_of_any_size_of_numbers() {
    let layer = Layer { images: 1, in_channels: 16, out_channels: 16, input: [1, 26, 26], ..PLAIN };
    let spec = layer.spec(FloatType::F32);
    for scale in [1e-30_f32, 1e30] {
        let x: Vec<f32> = numbers::<f32>(16 * 26 * 26, 3).iter().map(|x| x * scale).collect();
        let w = numbers::<f32>(16 * 16 * 9, 4);
        for isa in Isa::available() {
            let y = run(isa, &spec, [(&x, 0), (&w, 0)], 16 * 24 * 24);
            for (position, &y) in y.iter().enumerate() {
                let exact = reference(&spec, [(&x, 0), (&w, 0)], [0, position / 576, position % 576]);
                let error = (f64::from(y) - exact).abs() / f64::from(scale);
                assert!(error <= f32::TOLERANCE * 145.0, "{y} for {exact} on {isa}");
            }
        }
    }
}

#[test]
fn gradients_of_weights_by_tiles() {
    let is_winograd = |spec: &ConvSpec| {
        matches!(Method::new(f32::routines(Isa::Portable), spec), Method::WinogradGradient(_))
    };
    let many = Layer { images: 22, in_channels: 17, out_channels: 33, ..PLAIN };
    let few = gradient_of_the_weights(Layer { out_channels: 15, input: [1, 12, 12], ..many });
    assert!(!is_winograd(&few));
    // The last needs more than one block of tiles.
    let cases = [(0, [1, 9, 10]), (1, [1, 7, 8]), (2, [1, 6, 13]), (0, [1, 4, 14]), (1, [1, 40, 50])];
    for (pad, input) in cases {
        let spec = gradient_of_the_weights(Layer { low: [0, pad, pad], high: [0, pad, pad], input, ..many });
        assert!(is_winograd(&spec));
        for isa in Isa::available() {
            check_spec::<f32>(isa, &spec);
            check_spec::<f64>(isa, &ConvSpec { dtype: FloatType::F64, ..spec });
        }
    }
}

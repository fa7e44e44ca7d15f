//! Which elements meet in a convolution or in a window: all the geometry in one place.

use crate::op::{Conv, Window};

/// One spatial axis: its extents and how the window moves over it.
#[derive(Clone, Copy)]
pub(super) struct TapAxis {
    pub input: usize,
    pub window: usize,
    pub output: usize,
    pub stride: usize,
    pub low_padding: i64,
    pub input_dilation: usize,
    pub window_dilation: usize,
}

/// An output position and the input position under it, as offsets into the spatial part of their tensors.
pub(super) type Meeting = (usize, usize);

/// For each element of the window, in row-major order, the output positions at which it lies on an element of the
/// input, and that element. Where it lies on padding or between dilated elements there is no meeting.
pub(super) fn taps(axes: &[TapAxis]) -> Vec<Vec<Meeting>> {
    let mut taps = vec![vec![(0, 0)]];
    for axis in axes {
        let lines: Vec<Vec<Meeting>> = (0..axis.window).map(|k| axis.meetings(k)).collect();
        let nest = |outer: &Vec<Meeting>, line: &Vec<Meeting>| -> Vec<Meeting> {
            let within = |&(o, i): &Meeting| {
                line.iter().map(move |&(lo, li)| (o * axis.output + lo, i * axis.input + li))
            };
            outer.iter().flat_map(within).collect()
        };
        taps = taps
            .iter()
            .flat_map(|outer| lines.iter().map(|line| nest(outer, line)).collect::<Vec<_>>())
            .collect();
    }
    taps
}

impl TapAxis {
    fn meetings(self, k: usize) -> Vec<Meeting> {
        let meeting = |o: usize| {
            let position = (o * self.stride + k * self.window_dilation) as i64 - self.low_padding;
            let position = usize::try_from(position).ok()?;
            let i = position / self.input_dilation;
            (position % self.input_dilation == 0 && i < self.input).then_some((o, i))
        };
        (0..self.output).filter_map(meeting).collect()
    }
}

/// The spatial axes of a convolution, from the shapes of its operands and of its result.
pub(super) fn conv_axes(conv: &Conv, x: &[usize], kernel: &[usize], result: &[usize]) -> Vec<TapAxis> {
    let axis = |axis: usize| TapAxis {
        input: x[axis + 2],
        window: kernel[axis + 2],
        output: result[axis + 2],
        stride: conv.strides[axis],
        low_padding: conv.padding[axis].0,
        input_dilation: conv.lhs_dilation[axis],
        window_dilation: conv.rhs_dilation[axis],
    };
    (0..conv.n_spatial()).map(axis).collect()
}

/// The axes a window slides over, from the shapes of the operand and of one element for each window.
pub(super) fn window_axes(window: &Window, x: &[usize], windows: &[usize]) -> Vec<TapAxis> {
    let lead = x.len() - window.sizes.len();
    let axis = |axis: usize| TapAxis {
        input: x[lead + axis],
        window: window.sizes[axis],
        output: windows[lead + axis],
        stride: window.strides[axis],
        low_padding: window.padding[axis].0,
        input_dilation: 1,
        window_dilation: window.dilations[axis],
    };
    (0..window.sizes.len()).map(axis).collect()
}

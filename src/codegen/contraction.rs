//! Large products and convolutions: the call of the tiles, with everything around them generated.

use crate::kernels::conv::{self, ConvSpec};
use crate::kernels::gemm::{self, Epilogue, FloatType, GemmSpec, Part};
use crate::kernels::isa::Isa;

use kiln_ir::op::{Conv, Op};
use kiln_ir::{DType, Graph, NodeId};
use kiln_passes::contraction::{self, Strided};
use kiln_passes::loops::view::contraction_product;

/// A contraction, ready to be run by the threads of a team.
#[derive(Debug)]
pub struct ContractionCall {
    isa: Isa,
    spec: Spec,
    /// Positions of the operands and the result among the kernel's pointers.
    operands: [usize; 2],
    result: usize,
    /// Bytes from the start of each operand's buffer to its first element.
    offsets: [isize; 2],
    /// What is applied to each finished region, once it is linked.
    pub epilogue: Option<EpilogueFunction>,
    /// Where in a thread's scratch memory that of the epilogue begins.
    epilogue_scratch: usize,
}

/// The generated code of an epilogue.
pub type EpilogueFunction = unsafe extern "C" fn(*const *mut u8, usize, usize, usize, usize, *mut u8);

#[derive(Debug)]
enum Spec {
    Gemm(GemmSpec),
    Conv(ConvSpec),
}

impl ContractionCall {
    /// The call for a contraction, and the nodes whose addresses it needs: left operand, right operand, result.
    /// `first_pointer` is the position of the first of these among the kernel's pointers.
    pub fn new(
        graph: &Graph,
        root: NodeId,
        in_memory: &dyn Fn(NodeId) -> bool,
        isa: Isa,
        first_pointer: usize,
    ) -> (ContractionCall, [NodeId; 3]) {
        let product = contraction_product(graph, root);
        let dtype = graph.node(product).ty().dtype;
        let (spec, lhs, rhs) = match graph.op(product) {
            Op::Dot(_) => gemm_spec(graph, product, in_memory),
            Op::Conv(op) => conv_spec(graph, product, op, root != product, in_memory),
            op => unreachable!("`{}` is no contraction", op.name()),
        };
        let scratch = match &spec {
            Spec::Gemm(spec) => gemm::scratch_bytes(isa, spec),
            Spec::Conv(spec) => conv::scratch_bytes(isa, spec),
        };
        let size = dtype.n_bytes() as isize;
        let call = ContractionCall {
            isa,
            spec,
            operands: [first_pointer, first_pointer + 1],
            result: first_pointer + 2,
            offsets: [lhs.offset as isize * size, rhs.offset as isize * size],
            epilogue: None,
            epilogue_scratch: scratch.next_multiple_of(64),
        };
        (call, [lhs.node, rhs.node, root])
    }

    /// Bytes of scratch memory per thread, but for the epilogue's.
    pub fn scratch_bytes(&self) -> usize {
        self.epilogue_scratch
    }

    /// Which tiles run, and on what.
    pub fn describe(&self) -> String {
        match &self.spec {
            Spec::Gemm(s) => {
                let batch: usize = s.batch.iter().product();
                let times = if batch == 1 { String::new() } else { format!("{batch} x ") };
                format!("gemm {times}{} x {} x {} ({})", s.m, s.n, s.k, self.isa)
            }
            Spec::Conv(s) => {
                let kernel: Vec<String> = s.axes.iter().map(|a| a.kernel.to_string()).collect();
                format!(
                    "conv {} images, {} -> {} channels, kernel {} ({})",
                    s.images,
                    s.in_channels * s.groups,
                    s.out_channels * s.groups,
                    kernel.join(" x "),
                    self.isa
                )
            }
        }
    }
}

fn float_type(dtype: DType) -> FloatType {
    if dtype == DType::F64 { FloatType::F64 } else { FloatType::F32 }
}

fn gemm_spec(graph: &Graph, product: NodeId, in_memory: &dyn Fn(NodeId) -> bool) -> (Spec, Strided, Strided) {
    let matrices = contraction::matrices(graph, product, in_memory)
        .expect("fusion writes out the operands that tiles cannot walk");
    let mut batch = [(1, 0, 0); gemm::BATCH_AXES];
    let unused = gemm::BATCH_AXES - matrices.batch.len();
    batch[unused..].copy_from_slice(&matrices.batch);
    let (m, n) = (matrices.m as isize, matrices.n as isize);
    let mut c_batch = [0; gemm::BATCH_AXES];
    let mut stride = m * n;
    for axis in (0..gemm::BATCH_AXES).rev() {
        c_batch[axis] = stride;
        stride *= batch[axis].0 as isize;
    }
    let view = |batch: [i64; gemm::BATCH_AXES], [row, column]: [i64; 2]| gemm::View {
        batch: batch.map(|stride| stride as isize),
        row: row as isize,
        column: column as isize,
    };
    let spec = GemmSpec {
        dtype: float_type(graph.node(product).ty().dtype),
        batch: batch.map(|axis| axis.0),
        m: matrices.m,
        n: matrices.n,
        k: matrices.k,
        a: view(batch.map(|axis| axis.1), matrices.lhs.1),
        b: view(batch.map(|axis| axis.2), matrices.rhs.1),
        panels: matrices
            .panels
            .map(|panels| gemm::Panels { width: panels.width, stride: panels.stride as isize }),
        c: gemm::View { batch: c_batch, row: n, column: 1 },
    };
    (Spec::Gemm(spec), matrices.lhs.0, matrices.rhs.0)
}

/// `swapped`: the result is written with images and channels exchanged.
fn conv_spec(
    graph: &Graph,
    product: NodeId,
    op: &Conv,
    swapped: bool,
    in_memory: &dyn Fn(NodeId) -> bool,
) -> (Spec, Strided, Strided) {
    let [x, w] = contraction::conv_operands(graph, product, in_memory)
        .expect("fusion writes out the operands that tiles cannot walk");
    let shape = |node: NodeId| &graph.node(node).ty().shape;
    let operands = graph.operands(product);
    let (xs, ws, ys) = (shape(operands[0]), shape(operands[1]), shape(product));
    let n = op.n_spatial();
    let mut axes = [conv::Axis::NONE; conv::SPATIAL_AXES];
    for i in 0..n {
        axes[conv::SPATIAL_AXES - n + i] = conv::Axis {
            input: xs[2 + i],
            kernel: ws[2 + i],
            output: ys[2 + i],
            stride: op.strides[i],
            low: op.padding[i].0 as isize,
            input_dilation: op.lhs_dilation[i],
            kernel_dilation: op.rhs_dilation[i],
            x: x.strides[2 + i] as isize,
            w: w.strides[2 + i] as isize,
        };
    }
    let positions: usize = ys[2..].iter().product();
    let (images, channels) = (ys[0] * positions, ys[1] * positions);
    let spec = ConvSpec {
        dtype: float_type(graph.node(product).ty().dtype),
        images: xs[0],
        groups: op.groups,
        in_channels: xs[1] / op.groups,
        out_channels: ws[0] / op.groups,
        axes,
        x_image: x.strides[0] as isize,
        x_channel: x.strides[1] as isize,
        w_out: w.strides[0] as isize,
        w_in: w.strides[1] as isize,
        y_image: if swapped { positions } else { channels } as isize,
        y_channel: if swapped { images } else { positions } as isize,
    };
    (Spec::Conv(spec), x, w)
}

/// Runs a thread's part of a contraction; called by generated code.
///
/// # Safety
/// `call` and `pointers` are those of one kernel of a live program: the pointers are to buffers as large as the types of
/// their nodes, `scratch` is this thread's and as large as planned, and `thread < n_threads`.
pub unsafe extern "C" fn kiln_contraction(
    call: *const ContractionCall,
    pointers: *const *mut u8,
    scratch: *mut u8,
    thread: usize,
    n_threads: usize,
) {
    // SAFETY: the caller passes the call of a live program.
    let call = unsafe { &*call };
    // SAFETY: the positions are those of this kernel's pointers.
    let pointer = |position: usize| unsafe { *pointers.add(position) };
    let [a, b] = [0, 1].map(|i| pointer(call.operands[i]).wrapping_offset(call.offsets[i]).cast_const());
    let c = pointer(call.result);
    let epilogue = call.epilogue.map(|function| Epilogue {
        function,
        context: pointers,
        // SAFETY: scratch memory is as large as the tiles' and the epilogue's together.
        scratch: unsafe { scratch.add(call.epilogue_scratch) },
    });
    let part = Part { index: thread, count: n_threads };
    // SAFETY: the specification was made from the types and strides of these very buffers; the memory plan keeps the
    // result apart from the operands.
    unsafe {
        match &call.spec {
            Spec::Gemm(spec) => gemm::gemm(call.isa, spec, a, b, c, scratch, part, epilogue.as_ref()),
            Spec::Conv(spec) => conv::conv(call.isa, spec, a, b, c, scratch, part, epilogue.as_ref()),
        }
    }
}

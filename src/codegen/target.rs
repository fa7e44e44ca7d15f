//! The machine that code is generated for.

use crate::kernels::isa::Isa;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};

/// Cranelift's description of this machine, and which block primitives to call.
#[derive(Clone)]
pub struct Target {
    /// What instructions are encoded for.
    pub isa: OwnedTargetIsa,
    /// The instruction set of block primitives and tiles.
    pub kernels: Isa,
    /// Whether a fused multiply-add is one instruction: otherwise products and sums are rounded apart.
    pub has_fma: bool,
}

impl Target {
    /// This machine, restricted to an instruction set: `portable` uses nothing beyond the architecture's baseline.
    ///
    /// `verify` runs Cranelift's verifier over all generated code: for tests.
    pub fn new(kernels: Isa, verify: bool) -> Target {
        let mut flags = settings::builder();
        let verify = if verify { "true" } else { "false" };
        // No unwinding crosses generated code, and no frame of it is large enough to need a stack probe.
        let settings = [
            ("opt_level", "speed"),
            ("enable_verifier", verify),
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("enable_probestack", "false"),
            ("unwind_info", "false"),
        ];
        for (name, value) in settings {
            flags.set(name, value).expect("a setting of Cranelift");
        }
        let flags = settings::Flags::new(flags);
        let infer = kernels != Isa::Portable;
        let mut builder =
            cranelift_native::builder_with_options(infer).expect("Cranelift has code for this machine");
        if kernels == Isa::Avx2 {
            // What a machine without AVX-512 would run, on one that has it.
            for feature in AVX512 {
                builder.set(feature, "false").expect("a setting of Cranelift");
            }
        }
        let isa = builder.finish(flags).expect("the settings suit this machine");
        Target { isa, kernels, has_fma: infer && machine_has_fma() }
    }
}

/// Cranelift's names for the parts of AVX-512.
const AVX512: [&str; 5] =
    ["has_avx512bitalg", "has_avx512dq", "has_avx512f", "has_avx512vbmi", "has_avx512vl"];

#[cfg(target_arch = "x86_64")]
fn machine_has_fma() -> bool {
    std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn machine_has_fma() -> bool {
    cfg!(target_arch = "aarch64")
}

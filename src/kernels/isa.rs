//! Instruction sets: which ones this machine can run, and which one is used.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "KILN_ISA";

/// A group of vector instructions that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, DQ and VL: vectors of 512 bits.
    Avx512,
    /// x86-64 with AVX2 and FMA: vectors of 256 bits.
    Avx2,
    /// AArch64 with Advanced SIMD: vectors of 128 bits.
    Neon,
    /// Plain Rust, for every machine.
    Portable,
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// There is no instruction set of this name.
    #[error("`{0}` is no instruction set; the known ones are avx512, avx2, neon and portable")]
    Unknown(String),
    /// This machine has no such instructions.
    #[error("this machine cannot run `{requested}` code; it can run {}", list(&Isa::available()))]
    Unavailable {
        /// What was asked for.
        requested: Isa,
    },
}

impl Isa {
    /// All instruction sets, best first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// What this machine can run, best first; `Portable` is always the last.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The instruction set to use: the one named by `KILN_ISA`, else the best available.
    ///
    /// The variable is read at the first call; later changes have no effect.
    pub fn detect() -> Result<Isa, IsaError> {
        static DETECTED: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        DETECTED
            .get_or_init(|| match std::env::var_os(VARIABLE) {
                Some(name) => Isa::choose(Some(&name.to_string_lossy())),
                None => Isa::choose(None),
            })
            .clone()
    }

    /// The instruction set of that name if this machine has it, the best one without a name.
    fn choose(name: Option<&str>) -> Result<Isa, IsaError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(Isa::available()[0]);
        };
        let requested: Isa = name.parse()?;
        if requested.is_available() { Ok(requested) } else { Err(IsaError::Unavailable { requested }) }
    }

    /// The name in `KILN_ISA`, in dumps and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                // AVX2 and FMA too: every machine with AVX-512 has them, and its kernels may use them.
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Isa::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Isa::Portable => true,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => false,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}

fn list(isas: &[Isa]) -> String {
    let names: Vec<_> = isas.iter().map(|isa| isa.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
    }

    #[test]
    fn portable_is_always_available_and_last() {
        assert_eq!(Isa::available().last(), Some(&Isa::Portable));
    }

    #[test]
    fn unknown_and_unavailable_names_are_errors() {
        assert_eq!(Isa::choose(None), Ok(Isa::available()[0]));
        assert_eq!(Isa::choose(Some("")), Ok(Isa::available()[0]));
        assert_eq!(Isa::choose(Some("portable")), Ok(Isa::Portable));
        let unknown = Isa::choose(Some("sse9")).unwrap_err();
        assert!(unknown.to_string().contains("`sse9` is no instruction set"));
        for isa in Isa::ALL {
            if !isa.is_available() {
                let error = Isa::choose(Some(isa.name())).unwrap_err();
                assert_eq!(error, IsaError::Unavailable { requested: isa });
                assert!(error.to_string().contains("it can run"));
            }
        }
    }
}

//! The command line of Kiln; see `kiln::cli`.

fn main() -> std::process::ExitCode {
    kiln::cli::main()
}

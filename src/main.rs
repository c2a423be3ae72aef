//! The command line over the catalogue's operators.

#[cfg(feature = "cli")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "cli")]
fn main() -> std::process::ExitCode {
    let program = reconverge::cli::Program {
        command: reconverge::cli::own_command(),
        folder: "scenarios".into(),
    };
    reconverge::cli::run(&program, &operators::all(), std::env::args_os())
}

#[cfg(not(feature = "cli"))]
fn main() {}

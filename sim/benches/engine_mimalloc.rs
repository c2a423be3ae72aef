//! The engine's measurements once more, with the allocator of the command line: `cargo bench -p reconverge-sim`.

mod engine;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    engine::main();
}

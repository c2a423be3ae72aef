#!/usr/bin/env bash
# Runs the example crate's tests as a user does who has no `.cargo/config.toml`: cargo looks for that
# file from the working directory upwards, so it is called from a folder outside the repository.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
outside=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$outside"' EXIT
case $outside/ in
    "$(cd "$root" && pwd -P)"/*)
        echo "$outside lies in the repository, where cargo finds its .cargo/config.toml: set TMPDIR to a folder elsewhere" >&2
        exit 2 ;;
esac
cd "$outside"
# Nor do flags come from the environment.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
# Its own copy of every dependency: debug information would double what that takes on disk.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0
cargo test --manifest-path "$root/examples/widget-operator/Cargo.toml" --target-dir "$root/target/without-config"

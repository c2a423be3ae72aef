//! Serves one cluster on loopback: `cargo run -p fake-apiserver --features serve --example serve -- PORT TOKEN [TOKEN_FILE]`.

use std::io::Write as _;
use std::net::SocketAddr;

use fake_apiserver::serve::{Error, Options, run};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(0);
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        token: arguments.next(),
        token_file: arguments.next().map(Into::into),
        ..Options::default()
    };
    run(options, |ready| {
        let mut out = std::io::stdout().lock();
        // Nobody may be reading; the server runs all the same.
        let _ = writeln!(out, "ready {}", ready.url).and_then(|()| out.flush());
    })
}

//! `serve`: the fake API server on a loopback socket, for `kubectl` and for operators in any language.

use std::net::SocketAddr;
use std::path::PathBuf;

use fake_apiserver::serve::{Options, run};

use super::{Failure, Output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge serve --http --listen 127.0.0.1:8001 --token admin
  curl -H 'Authorization: Bearer admin' http://127.0.0.1:8001/api/v1/namespaces

  reconverge serve --http --anonymous-admin --kubeconfig kubeconfig.yaml
  kubectl --kubeconfig kubeconfig.yaml get namespaces

Standard output gets one line once the server listens: `ready URL`.")]
pub(super) struct Args {
    /// Serve plain HTTP; there is no TLS yet, so it must be said
    #[arg(long, required = true)]
    http: bool,
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The administrator's bearer token; one is made, and told, unless given
    #[arg(long)]
    token: Option<String>,
    /// More tokens, a line each: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Whoever sends no token is the administrator: over plain HTTP, kubectl and clients in Go send none
    #[arg(long)]
    anonymous_admin: bool,
    /// Where a kubeconfig of the administrator is written
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(super) fn serve(args: &Args, output: &Output) -> Result<u8, Failure> {
    debug_assert!(args.http, "clap requires it");
    let options = Options {
        listen: args.listen,
        token: args.token.clone(),
        token_file: args.token_file.clone(),
        anonymous_admin: args.anonymous_admin,
        kubeconfig: args.kubeconfig.clone(),
        ..Options::default()
    };
    let served = run(options, |ready| {
        output.out(&format!("ready {}\n", ready.url));
        if ready.token_made {
            output.note(&format!("token {}\n", ready.token));
        }
    });
    match served {
        Ok(()) => Ok(0),
        Err(error) => Err(Failure::usage(
            error.to_string(),
            "`serve --help` tells what each option takes",
        )),
    }
}

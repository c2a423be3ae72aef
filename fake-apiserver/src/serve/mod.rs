//! The server on a socket: plain HTTP/1.1, wall clock, webhooks called by URL.
//!
//! Owns everything the state machine must not have: sockets, a clock, random seeds, the pace of controllers.
//! One thread does it all; requests are handed to the state machine one after another, so it needs no locks.
//! Controllers start 20 ms after the last request and run to their end, so that what a client reads at once is what a
//! real server's still busy controllers would show it. Simplified: no TLS of our own, certificates of webhooks are not
//! verified, one API server.

mod connection;
mod state;
mod tokens;
mod webhook;

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::request::User;
use crate::server::{Authorization, Config, Token};
use state::State;

/// How long the server waits after a connection that it could not accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a served cluster is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The administrator's bearer token; none given = one is made.
    pub token: Option<String>,
    /// Further tokens, in the format of kube-apiserver's `--token-auth-file`.
    pub token_file: Option<PathBuf>,
    /// Whether a request without credentials is the administrator's: client-go, and `kubectl` with it, keeps the
    /// credentials of a kubeconfig to itself where the server's URL begins with `http:`.
    pub anonymous_admin: bool,
    /// Where to write a kubeconfig of the administrator; only its owner can read it.
    pub kubeconfig: Option<PathBuf>,
    /// The cluster: controllers, plugins, time to live of Events. Authorisation and tokens are set by the above.
    pub config: Config,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            token_file: None,
            anonymous_admin: false,
            kubeconfig: None,
            config: Config::default(),
        }
    }
}

/// Why a cluster cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on; choose another port, or 0.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An address that other machines reach is refused: the server has no TLS.
    #[error("{address} is not a loopback address; plain HTTP is served on loopback only")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// A token that no request can carry; take visible characters of ASCII, without blanks.
    #[error("the token is empty, or holds characters that a header cannot carry")]
    Token,
    /// A file cannot be written; check its path.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be read; check its path.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of the token file is not `token,user,uid[,"group,…"]`, or has the token of another.
    #[error("{path}: line {line}: {what}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The runtime could not be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

/// A server that listens.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it is.
    pub url: String,
    /// The administrator's token.
    pub token: String,
    /// True if the token was made, not given.
    pub token_made: bool,
}

/// Serves until the process ends; `ready` is called once the server listens.
pub fn run(options: Options, ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let local = tokio::task::LocalSet::new();
    let served = local.run_until(serve(options, ready));
    runtime.map_err(Error::Runtime)?.block_on(served)
}

/// Serves until the future is dropped. Must run within a `LocalSet`.
pub async fn serve(options: Options, ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    if !options.listen.ip().is_loopback() {
        return Err(Error::NotLoopback {
            address: options.listen,
        });
    }
    let token = options.token.clone().unwrap_or_else(state::random_token);
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::Token);
    }
    let mut config = Config {
        caches_follow: true,
        authorization: Authorization::Rbac,
        began: state::wall_clock(),
        ..options.config
    };
    let groups = vec![
        "system:masters".to_owned(),
        "system:authenticated".to_owned(),
    ];
    config.tokens.push(Token {
        token: token.clone(),
        user: User {
            name: "admin".to_owned(),
            uid: "admin".to_owned(),
            groups,
            ..User::default()
        },
    });
    if let Some(path) = &options.token_file {
        config.tokens.extend(tokens::read(path, &token)?);
    }
    let listen = |source| Error::Listen {
        address: options.listen,
        source,
    };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let url = format!("http://{}", listener.local_addr().map_err(listen)?);
    if let Some(path) = &options.kubeconfig {
        let written = write_private(path, &kubeconfig(&url, &token));
        written.map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
    }
    let unsigned = options.anonymous_admin.then(|| format!("Bearer {token}"));
    let state = Rc::new(State::new(&config, unsigned));
    tokio::task::spawn_local(state.clone().pace());
    ready(&Ready {
        url,
        token,
        token_made: options.token.is_none(),
    });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(connection::serve(state.clone(), stream));
            }
            // A connection that cannot be accepted is its client's loss, not the server's; where the process has no
            // file left for it, it stays in the queue and would be refused again at once.
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // The mode above is that of a new file; one that was there keeps its own.
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}

/// A kubeconfig of the administrator.
fn kubeconfig(url: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: reconverge\nclusters:\n- name: reconverge\n  cluster:\n    server: {url}\ncontexts:\n- name: reconverge\n  context:\n    cluster: reconverge\n    user: admin\nusers:\n- name: admin\n  user:\n    token: {}\n",
        crate::status::go_quote(token)
    )
}

//! Calls to webhooks over HTTP and HTTPS, with the errors in Go's words.
//!
//! Simplified: the certificate of an HTTPS webhook is not verified.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::server::{OutCall, WebhookReply};

/// A review's answer may be as large as a request's body.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Makes a call and waits for its answer.
pub(super) async fn call(call: &OutCall) -> WebhookReply {
    match exchange(call).await {
        Ok(reply) => reply,
        Err(what) => WebhookReply::Failed(format!("Post {:?}: {what}", call.url)),
    }
}

async fn exchange(call: &OutCall) -> Result<WebhookReply, String> {
    let uri: http::Uri = call.url.parse().map_err(|error| format!("{error}"))?;
    let host = uri.host().unwrap_or_default().to_owned();
    let tls = uri.scheme_str() != Some("http");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    if let Some(service) = host
        .strip_suffix(".svc")
        .and_then(|name| name.split('.').next())
    {
        // Names of Services mean nothing outside a cluster network.
        return Err(format!("service {service:?} not found"));
    }
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            format!("dial tcp {host}:{port}: connect: connection refused")
        }
        _ => format!("dial tcp: lookup {host}: no such host"),
    })?;
    let target = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let request = http::Request::post(target)
        .header("host", format!("{host}:{port}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, */*")
        .header("user-agent", "kube-apiserver-admission")
        .body(Full::new(call.body.clone()))
        .map_err(|error| error.to_string())?;
    if !tls {
        return send(TokioIo::new(stream), request).await;
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = connector()
        .connect(name, stream)
        .await
        .map_err(|_| "EOF".to_owned())?;
    send(TokioIo::new(stream), request).await
}

async fn send<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<WebhookReply, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let eof = |_| "EOF".to_owned();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(eof)?;
    tokio::task::spawn_local(connection);
    let response = sender.send_request(request).await.map_err(eof)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(|_| "unexpected EOF".to_owned())?.to_bytes();
    Ok(WebhookReply::Answered { status, body })
}

fn connector() -> TlsConnector {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Unverified(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Takes any certificate.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A tonic service that does nothing: it reads a message and answers with one of a given size.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

/// A message of bytes, whatever they mean.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
}

/// Answers on `listen` until the process is ended.
pub(crate) fn serve(listen: SocketAddr, response_bytes: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The tag and the length are bytes of the message, too.
    let overhead = 1 + prost::length_delimiter_len(response_bytes);
    let body = Bytes::from(vec![7_u8; response_bytes.saturating_sub(overhead)]);
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        println!("echo on {}", listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Server::builder().add_service(Echo { body }).serve_with_incoming(incoming).await?;
        Ok(())
    })
}

#[derive(Debug, Clone)]
struct Echo {
    body: Bytes,
}

impl NamedService for Echo {
    const NAME: &'static str = "segue.load.Echo";
}

impl UnaryService<Payload> for Echo {
    type Response = Payload;
    type Future = std::future::Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, _request: Request<Payload>) -> Self::Future {
        std::future::ready(Ok(Response::new(Payload { body: self.body.clone() })))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    // As generated servers do it.
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Payload, Payload>::default());
            Ok(grpc.unary(echo, request).await)
        })
    }
}

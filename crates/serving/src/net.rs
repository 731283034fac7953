//! From a socket to requests: accepted or not, encrypted or not, bounded in number, time and memory.
//!
//! tonic and axum have accept loops of their own; neither bounds connections, the time of a handshake
//! or what a caller who does not read leaves behind, and neither reloads certificates.

mod accept;
mod answer;
mod certificate;
mod connection;
mod grpc;
mod http;
mod io;
mod request;
mod silence;
mod tls;
mod turn;

pub(crate) use self::accept::Port;
pub(crate) use self::answer::{Answer, Lost, StreamPlace, full};
pub(crate) use self::certificate::PeerCertificate;
pub(crate) use self::connection::{Budgets, Connection, Unread, WATCHES_PER_CONNECTION};
pub(crate) use self::http::PageLimits;
pub(crate) use self::request::{BodyBound, Counted, OverBudget};
pub(crate) use self::tls::{Tls, TlsPort};

//! One HTTP request and the judgement of its answer. Knows nothing of mirrors.
//!
//! Pure: [`url`], [`range`], [`failure`], [`response`], `fields`, `deadlines`. With I/O: [`settings`] (read once), [`agent`] (one
//! request after another to one source), `connector` and `wire` (sockets, proxies). Only `agent`,
//! `connector`, `tls` and `wire` name the HTTP library.

pub mod agent;
mod connector;
mod deadlines;
pub mod failure;
mod fields;
mod proxy_handshake;
pub mod range;
pub mod response;
pub mod settings;
mod tls;
pub mod url;
mod wire;

pub use agent::{Agent, Answer, Ask, Canceller, Client, Content, Exchange};
pub use failure::Failure;
pub use range::{ByteRange, ContentRange};
pub use response::{Extent, Head, Judged, Question};
pub use settings::{Credentials, Proxy, ProxyKind, Settings};
pub use url::Url;

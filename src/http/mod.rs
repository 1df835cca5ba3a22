//! One HTTP request and the judgement of its answer. Knows nothing of mirrors.
//!
//! Pure: [`settings`] (made once), [`url`], [`range`], [`failure`], [`response`], `ask`, `cookies`, `deadlines`,
//! `fields`, `proxy_handshake` (over any stream). With I/O: [`agent`] (one request after another to one source),
//! `connector` and `wire` (sockets, proxies). Only `agent`, `connector`, `tls` and `wire` name the HTTP library.

pub mod agent;
mod ask;
mod connector;
mod cookies;
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

pub use agent::{Agent, Answer, Canceller, Client, Content, Exchange};
pub use ask::Ask;
pub use cookies::Jar;
pub use failure::Failure;
pub use range::{ByteRange, ContentRange};
pub use response::{Extent, Head, Judged, Question};
pub use settings::{Credentials, Proxy, ProxyKind, Settings};
pub use url::Url;

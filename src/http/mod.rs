//! One HTTP request and the judgement of its answer. Knows nothing of mirrors.
//!
//! Pure: [`settings`] (made once), [`url`], [`range`], [`failure`], [`response`], `answer_head`, `ask`, `chunks`,
//! `cookies`, [`date`], `deadlines`, `fields`, `proxy_handshake` (over any stream),
//! `tls_failure`. With I/O: [`agent`] (one request after another to one
//! source), `reach` and `text` (what is asked now and then), `connector` and `wire` (sockets, proxies), `reader` (what comes over them). Only `agent`, `connector`,
//! `reader`, `tls` and `wire` name the HTTP library.

pub mod agent;
mod answer_head;
mod ask;
mod chunks;
mod connector;
mod cookies;
pub mod date;
mod deadlines;
pub mod failure;
mod fields;
mod proxy_handshake;
pub mod range;
mod reach;
mod reader;
pub mod response;
pub mod settings;
mod text;
mod tls;
mod tls_failure;
pub mod url;
mod wire;

pub use agent::{Agent, Answer, Canceller, Client, Content, Exchange};
pub use ask::Ask;
pub use cookies::Jar;
pub use failure::Failure;
pub use range::{ByteRange, ContentRange};
pub(crate) use reach::reach;
pub use response::{Extent, Head, Judged, Question};
pub use settings::{Credentials, Proxy, ProxyKind, Settings};
pub(crate) use text::read_text;
pub use tls_failure::{CertificateFault, HandshakeFault};
pub use url::Url;

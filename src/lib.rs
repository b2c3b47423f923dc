#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "net")]
#[doc(inline)]
pub use headwater_cache as cache;
#[cfg(feature = "edge")]
#[doc(inline)]
pub use headwater_edge as edge;
#[cfg(feature = "net")]
#[doc(inline)]
pub use headwater_net as net;
#[cfg(feature = "origin")]
#[doc(inline)]
pub use headwater_origin as origin;
#[cfg(feature = "packager")]
#[doc(inline)]
pub use headwater_packager as packager;
#[cfg(feature = "net")]
#[doc(inline)]
pub use headwater_proto as proto;
#[cfg(feature = "transcode")]
#[doc(inline)]
pub use headwater_transcode as transcode;

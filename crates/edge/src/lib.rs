//! The HTTP/3, HTTP/2 and HTTP/1.1 edge of Headwater: a cache that faces strangers

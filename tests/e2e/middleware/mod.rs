//! Each kind of middleware on the wire, alone and in a chain.

mod headers;

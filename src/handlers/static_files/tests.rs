//! What a request for a file comes to.

//! Bytes in, bytes out; nothing here waits.

//! tornadose-test

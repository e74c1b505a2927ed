//! Servers of a test's own, which it may stop, kill and configure.

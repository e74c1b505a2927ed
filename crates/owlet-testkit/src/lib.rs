//! Test data, differential fuzzer and benchmarks (not shipped).

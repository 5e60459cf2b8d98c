//! The evaluator against examples.

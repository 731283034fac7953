//! Feature sets and the one evaluator: (history, t) to a row

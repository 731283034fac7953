//! Code generated from proto/, nothing else

//! gRPC services over live models: limits, metrics, hot swap, shutdown

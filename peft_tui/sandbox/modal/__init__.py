"""The Modal cloud: a gRPC control plane on the SDK's own stubs, its uploads, and what it serves."""

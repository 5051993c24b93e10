"""Models in memory, and the requests that wait for them; the same for REST and gRPC."""

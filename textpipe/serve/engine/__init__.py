"""Loaded models and the requests waiting for them, shared by REST and gRPC."""

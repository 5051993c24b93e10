"""Exported models behind TensorFlow Serving's REST and gRPC. Knows nothing of stages: any SavedModel will do."""

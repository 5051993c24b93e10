"""Serves exported models over TensorFlow Serving's REST and gRPC. Independent of the pipeline: any SavedModel works."""

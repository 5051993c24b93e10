"""TensorFlow Serving's REST API, and the demo page."""

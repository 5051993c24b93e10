"""Progress, curves, time and memory of a training run."""

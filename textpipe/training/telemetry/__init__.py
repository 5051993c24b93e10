"""What a training run tells while it runs: progress, curves, time and memory."""

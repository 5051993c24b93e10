"""What a training run keeps of itself: checkpoints, the best weights, when to stop."""

"""Networks as Keras models; their layers are in layers/, their settings in models/."""

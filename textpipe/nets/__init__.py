"""Whole networks as Keras models; layers/ has their layers, models/ their settings."""

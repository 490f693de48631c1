"""Torch modules to train: sequence classifiers, their heads, LoRA, and attention for CPU training."""

"""Checkpoints: folders in Hugging Face's layout, how they are found, and how they are read."""

from plackett.checkpoints.folder import Checkpoint, find_folder, read_checkpoint
from plackett.checkpoints.model import Model

__all__ = ["Checkpoint", "Model", "find_folder", "read_checkpoint"]

"""Checkpoints: folders in Hugging Face's layout, and how they are found and read."""

from plackett.checkpoints.folder import Checkpoint, find_folder, read_checkpoint
from plackett.checkpoints.model import Model

__all__ = ["Checkpoint", "Model", "find_folder", "read_checkpoint"]

"""Checkpoints: folders in Hugging Face's layout, where they come from, and what Plackett reads of them."""

from plackett.checkpoints.folder import Checkpoint, find_folder, read_checkpoint
from plackett.checkpoints.model import Model

__all__ = ["Checkpoint", "Model", "find_folder", "read_checkpoint"]

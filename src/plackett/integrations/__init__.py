"""Adapters for frameworks: one small file each, imported by its own name, with the framework as an extra."""

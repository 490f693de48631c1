"""Adapters for frameworks: one small module each, imported by name, with the framework as an extra."""

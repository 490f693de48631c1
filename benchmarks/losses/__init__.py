"""Losses at the same budget."""

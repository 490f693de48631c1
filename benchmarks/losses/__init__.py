"""All losses at the same budget."""

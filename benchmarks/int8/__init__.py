"""Quality and speed of int8."""

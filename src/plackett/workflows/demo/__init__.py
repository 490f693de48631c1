"""`plackett demo`: the main job on the documentation of Python itself."""

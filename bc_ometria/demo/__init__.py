"""The demo: the main job on a machine of its own, and an independent proof that it was done right."""

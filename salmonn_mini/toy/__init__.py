"""The toy: its world of text, voices, sounds and music, its backbones, its samples."""

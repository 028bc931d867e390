"""The toy universe: its sentences and facts, its voices, sounds and music, and the tasks made of them.

Nothing is imported here, so that the speaking process of `voice.py` starts at once.
"""

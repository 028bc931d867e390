"""The toy universe: its sentences and facts, its voices, sounds and music, and the tasks made of them."""

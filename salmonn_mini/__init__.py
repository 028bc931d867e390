"""SALMONN, built from scratch at toy scale: a language model that listens (arXiv 2310.13289).

Importing this package is cheap: it loads none of its rooms, and no torch.
"""

__version__ = "0.1.0"

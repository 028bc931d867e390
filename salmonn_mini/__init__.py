"""SALMONN, built from scratch at toy scale: a language model that listens (arXiv 2310.13289).

Importing this package is cheap: it loads none of its rooms, and no torch.
"""

__version__ = "0.1.0"

_ROOMS = {"Salmonn": "checkpoint", "load": "checkpoint"}  # opened when they are asked for


def __getattr__(name: str):
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)

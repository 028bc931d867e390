"""SALMONN, built from scratch at toy scale: a language model that listens (arXiv 2310.13289).

Importing this package is cheap: it loads none of its modules, and no torch.
"""

__version__ = "0.1.0"

_EXPORTS = {"Salmonn": "pretrained", "load": "pretrained"}  # imported when they are asked for


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)

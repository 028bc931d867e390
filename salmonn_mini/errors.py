"""The one error that a user can cause."""

from __future__ import annotations


class SalmonnError(ValueError):
    """A value that a user gave breaks a rule. The message states the value, the rule and the remedy."""

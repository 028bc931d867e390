"""Dataclasses that check themselves, from and to plain dictionaries."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any

from salmonn_mini.errors import SalmonnError, unknown

if TYPE_CHECKING:
    from typing import Self


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of frozen dataclasses: values of a wrong type are refused, and those that break a rule of `_check`."""

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(type(self)).items():
            object.__setattr__(self, name, _typed(f"{type(self).__name__}.{name}", getattr(self, name), kind))
        self._check()

    def _check(self) -> None:
        """Rules between fields; the types are right already."""

    def _rule(self, holds: bool, name: str, rule: str, remedy: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise SalmonnError(f"{type(self).__name__}.{name} is {value!r}, but it must be {rule}: {remedy}")

    def _choice(self, name: str, choices: Iterable[str]) -> None:
        self._rule(getattr(self, name) in choices, name, f"one of {', '.join(choices)}", "choose one")

    def replace(self, **changes: Any) -> Self:
        """A changed copy."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries, lists, strings and numbers, as in JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; missing keys take their defaults.

        Raises:
            SalmonnError: an unknown or missing key, a value of the wrong type or size.
        """
        if not isinstance(values, dict):
            raise SalmonnError(f"{cls.__name__} must be a table of keys and values, but it is {values!r}")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key in values:
            if key not in fields:
                raise unknown(f"{cls.__name__.removesuffix('Config').lower()} key", key, fields)
        for name, f in fields.items():
            if name not in values and f.default is f.default_factory is dataclasses.MISSING:
                raise SalmonnError(f"{cls.__name__} needs the key {name!r}, but it is missing: add it")
        return cls(**values)


def _typed(name: str, value: Any, kind: Any) -> Any:
    """`value` as the annotation `kind`, converted where nothing is lost (1 → 1.0, list → tuple)."""
    choices = typing.get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and NoneType in choices:
        return None
    kind = next(choice for choice in choices if choice is not NoneType)
    if hasattr(kind, "from_dict"):
        value = kind.from_dict(value) if isinstance(value, dict) else value
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif typing.get_origin(kind) is tuple:
        kind, value = tuple, tuple(value) if isinstance(value, list) else value
        if isinstance(value, str):
            raise SalmonnError(f"{name} is {value!r}, but it must be a list of names: write [{value}]")
        if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
            raise SalmonnError(f"{name} is {list(value)!r}, but it must be a list of names")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SalmonnError(f"{name} is {value!r}, but it must be of type {kind.__name__}: use this type")
    return value

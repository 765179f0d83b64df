"""Records that JSON can hold: frozen dataclasses to nested dictionaries, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_Self = TypeVar("_Self", bound="JsonRecord")


class JsonRecord:
    """Base class of dataclasses that are written to JSON and read again.

    A field whose default is None is left out of the dictionary where it is None. One whose name is not a name in Python
    has it as its metadata "name".
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the record for JSON, in the order of its fields."""
        return {
            _name(each): _plain(value)
            for each in _fields_of(type(self))
            if (value := getattr(self, each.name)) is not None or each.default is not None
        }

    @classmethod
    def from_dict(cls: type[_Self], data: Any) -> _Self:
        """Read what `to_dict` returned.

        Args:
            data: The dictionary, from wherever it was read. Fields that have a default may be missing.

        Returns:
            The record.

        Raises:
            KeyError: If a field is missing.
            TypeError: If a value is not of the type of its field.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"expected an object with {_name(_fields_of(cls)[0])!r}, got {data!r:.50}")
        types = get_type_hints(cls)
        return cls(
            **{
                each.name: _typed(types[each.name], data[_name(each)])
                for each in _fields_of(cls)
                if _name(each) in data or not _has_default(each)
            }
        )


def _fields_of(kind: type) -> tuple[Field[Any], ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} must be a dataclass")
    return fields(kind)


def _name(each: Field[Any]) -> str:
    return str(each.metadata.get("name", each.name))


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


def _plain(value: Any) -> Any:
    if isinstance(value, JsonRecord):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _typed(kind: Any, value: Any) -> Any:
    """Return a value of JSON as what a field's annotation says."""
    arguments = [each for each in get_args(kind) if each is not NoneType]
    if value is None and NoneType in get_args(kind):
        return None
    if isinstance(kind, type) and issubclass(kind, JsonRecord):
        return kind.from_dict(value)
    origin = get_origin(kind)
    if origin is tuple:
        return tuple(_typed(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _typed(arguments[1], item) for key, item in value.items()}
    if origin is not None and len(arguments) == 1:  # optional
        return _typed(arguments[0], value)
    return value

"""The state of a MIQRO service: a tree of values that is read and set by paths of keys.

Each key at the top is a key of the host's state, as `import_state` of `miqro.yml` writes them. Values of Python that JSON lacks are
members of an object with one key, which begins with `$`.
"""

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from . import state

_MARK = "$"

# The name of a kind, the kind, and the functions to JSON and back. `datetime` stands before `date`, which it is as well.
_KINDS: list[tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("datetime", datetime, datetime.isoformat, datetime.fromisoformat),
    ("date", date, date.isoformat, date.fromisoformat),
    ("time", time, time.isoformat, time.fromisoformat),
    ("seconds", timedelta, timedelta.total_seconds, lambda seconds: timedelta(seconds=seconds)),
    ("bytes", bytes, bytes.hex, bytes.fromhex),
    ("set", set, lambda items: [_to_json(item) for item in sorted(items, key=repr)], lambda items: set(map(_from_json, items))),
    ("tuple", tuple, lambda items: [_to_json(item) for item in items], lambda items: tuple(map(_from_json, items))),
]


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        members = {key: _to_json(item) for key, item in value.items()}
        if all(isinstance(key, str) and not key.startswith(_MARK) for key in members):
            return members
        return {f"{_MARK}items": [[_to_json(key), item] for key, item in members.items()]}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    for name, kind, encode, _ in _KINDS:
        if isinstance(value, kind):
            return {_MARK + name: encode(value)}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, inner)] = value.items()
        if name == f"{_MARK}items":
            return {_from_json(key): _from_json(item) for key, item in inner}
        for known, _, _, decode in _KINDS:
            if name == _MARK + known:
                return decode(inner)
    return {key: _from_json(item) for key, item in value.items()}


class State:
    """Values that outlive the service and the host. Changes are kept when the call succeeds, with and without `save`."""

    def __init__(self) -> None:
        # the values that this call or an earlier one has read, and the texts that the host has of them
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._is_touched = False

    def __getitem__(self, key: str) -> Any:
        return self._read(key)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._read(key)[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._read(key)

    def get_path(self, *keys: Any, default: Any) -> Any:
        """The value at the end of a path of keys."""
        place: Any = self._read(keys[0])
        for key in keys:
            if key not in place:
                return default
            place = place[key]
        return place

    def set_path(self, *keys: Any, value: Any) -> None:
        """Sets the value at the end of a path of keys."""
        place: Any = self._read(keys[0])
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value

    def save(self) -> None:
        """Has values kept that were changed in place, without a method of the state. The host keeps them when the call succeeds."""
        self._is_touched = True

    def keep(self) -> None:
        """Hands the host the values that have changed: at the end of a call that succeeds."""
        if not self._is_touched:
            return
        self._is_touched = False
        for key, value in self._values.items():
            text = json.dumps(_to_json(value), allow_nan=False)
            if text != self._texts.get(key):
                state.set_bytes(str(key), text.encode())
                self._texts[key] = text

    def forget(self) -> None:
        """Takes all changes back that were not kept: at the end of a call that fails."""
        self._values.clear()
        self._texts.clear()
        self._is_touched = False

    def _read(self, key: Any) -> dict[Any, Any]:
        """The values at the top, among them the one of `key` if there is one."""
        self._is_touched = True
        if key not in self._values:
            found = state.get_bytes(str(key))
            if found is not None:
                self._texts[key] = found.decode()
                self._values[key] = _from_json(json.loads(found))
        return self._values


# A component has one state.
PATH_STATE = State()

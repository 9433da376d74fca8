"""Values by key that outlive the service and the host, as JSON. Changes are kept when the call succeeds."""

import json
from typing import Any

from . import _host


def get(key: str, default: Any = None) -> Any:
    """The value of a key."""
    found = get_bytes(key)
    return default if found is None else json.loads(found)


def set(key: str, value: Any) -> None:
    """Sets a key to a value that JSON has."""
    set_bytes(key, json.dumps(value, allow_nan=False).encode())


def get_bytes(key: str) -> bytes | None:
    """The value of a key, as it was set."""
    with _host.errors():
        return _host.state.get(key)


def set_bytes(key: str, value: bytes) -> None:
    """Sets a key to these bytes."""
    with _host.errors():
        _host.state.set(key, value)


def delete(key: str) -> None:
    """Removes a key; unknown keys are ignored."""
    with _host.errors():
        _host.state.delete(key)


def keys(prefix: str = "") -> list[str]:
    """The keys that begin with `prefix`, in the order of their bytes."""
    with _host.errors():
        return list(_host.state.keys(prefix))

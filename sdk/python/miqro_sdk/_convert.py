"""Values and payloads, as MIQRO converts them."""

import json
import math
import re
from typing import Any

# The precision where the section names none: MIQRO's.
_default_precision = 4
_precision: int | None = None


class Text(str):
    """The kind of payload that MIQRO hands to its handlers: text without white space around it, with a mark in place of invalid bytes."""


def set_default_precision(digits: int) -> None:
    """Sets the precision of floats for a section without `json_float_precision`."""
    global _default_precision
    _default_precision = digits
    forget_precision()


def forget_precision() -> None:
    """Has the precision read from the section again."""
    global _precision
    _precision = None


def _float_precision() -> int:
    """`json_float_precision` of the section, or the default where it is not set."""
    global _precision
    if _precision is None:
        from ._messages import config

        _precision = int(config().get("json_float_precision", _default_precision))
    return _precision


def _rounded(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number that JSON has")
        return round(value, _float_precision())
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be published; expected text, bytes, a number, a dict or a list")


def to_json(value: Any) -> str:
    """JSON, with floats rounded to `json_float_precision` of the section."""
    return json.dumps(_rounded(value))


def encode(value: Any) -> bytes:
    """A payload: text and bytes as they are, `True` and `False` as 1 and 0, `None` as an empty one, the rest as JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return (value if isinstance(value, str) else to_json(value)).encode()


# Levels of JSON that are read. Deeper text would overflow the stack, which ends the instance; no exception can be caught then.
_DEEPEST = 200
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def from_json(text: str) -> Any:
    """The value of JSON from a stranger.

    Raises `ValueError` when it is none, or deeper than 200 levels.
    """
    if text.count("[") + text.count("{") > _DEEPEST:
        depth = 0
        for bracket in re.findall(r"[][{}]", _STRING.sub("", text)):
            depth += 1 if bracket in "[{" else -1
            if depth > _DEEPEST:
                raise ValueError(f"expected JSON of at most {_DEEPEST} levels")
    return json.loads(text)


_WORDS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


def decode(payload: bytes, kind: Any) -> Any:
    """A payload as `bytes`, `str`, `int`, `float`, `bool`, `dict` or `list`.

    Raises `ValueError` when it is not such a value.
    """
    if kind is bytes:
        return payload
    if kind is Text:
        return payload.decode(errors="replace").strip()
    text = payload.decode()
    if kind is str:
        return text
    if kind is bool:
        word = text.strip().lower()
        if word not in _WORDS:
            raise ValueError(f"expected 1, 0, true, false, on or off, found {text!r}")
        return _WORDS[word]
    if kind in (int, float):
        number = kind(text)
        if not math.isfinite(number):
            raise ValueError(f"expected a number, found {text!r}")
        return number
    value = from_json(text)
    if kind in (dict, list) and not isinstance(value, kind):
        raise ValueError(f"expected a JSON {'object' if kind is dict else 'array'}, found {text[:80]!r}")
    return value

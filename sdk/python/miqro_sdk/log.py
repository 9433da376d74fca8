"""Log lines. They are written at once, even if the call fails later. Fields are shown as name=value."""

from typing import Any

from . import _host


def _write(level: str, message: str, fields: dict[str, Any]) -> None:
    level_ = _host.log.Level[level]
    _host.log.log(level_, message, [(name, str(value)) for name, value in fields.items()])


def trace(message: str, **fields: Any) -> None:
    """Writes a line of level trace."""
    _write("TRACE", message, fields)


def debug(message: str, **fields: Any) -> None:
    """Writes a line of level debug."""
    _write("DEBUG", message, fields)


def info(message: str, **fields: Any) -> None:
    """Writes a line of level info."""
    _write("INFO", message, fields)


def warn(message: str, **fields: Any) -> None:
    """Writes a line of level warn."""
    _write("WARN", message, fields)


def error(message: str, **fields: Any) -> None:
    """Writes a line of level error."""
    _write("ERROR", message, fields)

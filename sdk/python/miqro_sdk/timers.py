"""Timers by name. Spans are text such as `10s`, or numbers of seconds. Functions with `timer(name)` are called when they are due."""

from . import _host
from ._topics import Span, milliseconds


def every(name: str, period: Span, delay: Span = 0) -> None:
    """Sets a periodic timer, first due after `delay`."""
    with _host.errors():
        _host.timers.every(name, milliseconds(period), milliseconds(delay))


def after(name: str, delay: Span) -> None:
    """Sets a one-shot timer."""
    with _host.errors():
        _host.timers.after(name, milliseconds(delay))


def cancel(name: str) -> None:
    """Cancels a timer; unknown names are ignored."""
    _host.timers.cancel(name)


def remaining(name: str) -> float | None:
    """Seconds until a timer is due; `None` if there is no such timer."""
    found = _host.timers.remaining(name)
    return None if found is None else found / 1000

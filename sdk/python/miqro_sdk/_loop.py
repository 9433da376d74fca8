"""Loops that a service starts and stops."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from . import timers

_AT_ONCE = timedelta(0)
# The host has no period of zero.
_SHORTEST = timedelta(milliseconds=1)


class Loop:
    """A function that is called in each interval while the loop runs; returning `False` stops it.

    It is first called when the service that has it starts, unless it was made with `start=False`. A new `interval` counts from the next
    call on.
    """

    def __init__(self, fn: Callable[..., Any], interval: timedelta, start: bool = True) -> None:
        if not isinstance(interval, timedelta):
            raise TypeError(f"expected a timedelta as interval, found {interval!r}")
        self.fn = fn
        self.interval = interval
        self._name: str | None = None
        # until a timer has the name: the time until the first call
        self._wait: timedelta | None = _AT_ONCE if start else None
        self._period = interval

    @property
    def next_call(self) -> datetime | None:
        """The time of its next call; `None`: it does not run."""
        remaining = self.get_remaining()
        return None if remaining is None else datetime.now() + remaining

    @next_call.setter
    def next_call(self, time: datetime | None) -> None:
        if time is None:
            self.stop()
        else:
            self._set(max(_AT_ONCE, time - datetime.now()))

    def start(self, delayed: bool = False) -> None:
        """Starts it: at once, or with `delayed` after one interval."""
        self._set(self.interval if delayed else _AT_ONCE)

    def stop(self) -> None:
        """Stops it."""
        self._wait = None
        if self._name is not None:
            timers.cancel(self._name)

    def restart(self, delayed: bool = False) -> None:
        """Starts it from the beginning."""
        self.start(delayed=delayed)

    def get_remaining(self) -> timedelta | None:
        """The time until its next call; `None`: it does not run."""
        if self._name is None:
            return self._wait
        seconds = timers.remaining(self._name)
        return None if seconds is None else timedelta(seconds=seconds)

    def attach(self, name: str) -> None:
        """Gives it a timer: from now on the host has the time of its next call."""
        self._name = name
        if self._wait is not None:
            self._set(self._wait)
        else:
            # a former version may have left the timer running, and this one does not know why
            timers.cancel(name)

    def run(self, service: Any) -> None:
        """Calls the function, as its timer is due."""
        if self.fn(service) is False:
            self.stop()
        elif self._period != self.interval and self.get_remaining() is not None:
            self.start(delayed=True)

    def _set(self, wait: timedelta) -> None:
        if self._name is None:
            self._wait = wait
            return
        self._period = self.interval
        timers.every(self._name, max(self.interval, _SHORTEST), wait)

    def __str__(self) -> str:
        return f"Loop({function_name(self.fn)})"


def function_name(function: Callable[..., Any]) -> str:
    """The name of a function, or of the kind of another thing that can be called."""
    return getattr(function, "__name__", type(function).__name__)

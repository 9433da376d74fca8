"""The exports of the component. Only those that the project's world has are called."""

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import _host, log
from ._convert import encode, forget_precision
from ._messages import Outcome, current_message, subscribe
from ._path_state import PATH_STATE
from ._registry import registry
from ._topics import captures


def _answer(function: Callable[..., Any]) -> Callable[..., Any]:
    """Exceptions become the text that the contract wants; with a place, unless the host has refused something.

    The state by paths is kept when the call succeeds, as everything else of the call is.
    """

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            result = function(*arguments)
            PATH_STATE.keep()
            return result
        except Exception as error:
            PATH_STATE.forget()
            raise _host.Err(_text(error)) from None

    return call


def _text(error: Exception) -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if "miqro_sdk" not in frame.filename] or frames
    place = f" ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})" if own else ""
    kind = type(error).__name__
    name = "" if kind in ("Error", "Denied", "InvalidTopic", "LimitExceeded") else f"{kind}: "
    return f"{name}{error}{place}"


def _call_all(event: str, *arguments: Any) -> None:
    for function in registry.events.get(event, ()):
        count = function.__code__.co_argcount - (1 if hasattr(function, "__self__") else 0)
        function(*arguments[:count])


class WitWorld(_host.WORLD):
    """What the component exports."""

    @_answer
    def start(self) -> None:
        PATH_STATE.forget()
        registry.make_services()
        for (filter, is_global), qos in registry.subscriptions().items():
            subscribe(filter, qos, is_global)
        with _host.errors():
            for loop in registry.loops.values():
                _host.timers.every(loop.name, loop.period, loop.delay)
        _call_all("start")

    @_answer
    def handle(self, topic: str, payload: bytes) -> None:
        needs_message = any(handler.is_global for handler in registry.handlers)
        found = registry.matching(topic, current_message() if needs_message else None)
        for handler, matches in found:
            handler.run(payload, matches)
        if not found:
            _call_all("fallback", payload, topic)

    @_answer
    def tick(self) -> None:
        for due in _host.timers.due():
            loop = registry.loops.get(due.name)
            if loop is not None:
                if loop.function() is False:
                    _host.timers.cancel(due.name)
                continue
            for filter, function in registry.timers:
                matches = captures(filter, due.name)
                if matches is not None:
                    function(*matches)
                    break
            else:
                log.debug("no function for a timer", timer=due.name)

    @_answer
    def stop(self) -> None:
        _call_all("stop")

    @_answer
    def connected(self, session_present: bool) -> None:
        _call_all("connected", session_present)

    @_answer
    def disconnected(self) -> None:
        _call_all("disconnected")

    @_answer
    def delivered(self, token: int, outcome: Any) -> None:
        name = type(outcome).__name__.rpartition("_")[2]
        name = {"Delivered": "delivered", "TimedOut": "timed-out", "Refused": "refused"}.get(name, name)
        _call_all("delivered", token, Outcome(name, getattr(outcome, "value", None)))

    @_answer
    def config_changed(self) -> None:
        forget_precision()
        _call_all("config_changed")

    def save(self) -> bytes:
        for function in registry.events.get("save", ()):
            return encode(function())
        return b""

    @_answer
    def load(self, state: bytes) -> None:
        _call_all("load", state)

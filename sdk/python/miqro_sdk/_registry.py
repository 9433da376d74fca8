"""The functions of a service, as its decorators name them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import log
from ._convert import Text, decode
from ._messages import Message
from ._topics import captures, milliseconds

_KINDS = (bytes, str, int, float, bool, dict, list, Any)


@dataclass
class Handler:
    """A function for messages."""

    filter: str
    qos: int
    is_global: bool
    function: Callable[..., Any]
    kind: Any
    parameters: int | None

    def run(self, payload: bytes, found: list[str]) -> None:
        try:
            value = decode(payload, self.kind)
        except (ValueError, UnicodeDecodeError) as error:
            # trying again would not help
            log.warn(f"a payload cannot be read: {error}", filter=self.filter)
            return
        arguments = [value, *found]
        self.function(*arguments[: self.parameters])


@dataclass
class Loop:
    """A function that is called again and again."""

    name: str
    period: int
    delay: int
    function: Callable[..., Any]


@dataclass
class Registry:
    """Everything that a service has."""

    handlers: list[Handler] = field(default_factory=list)
    loops: dict[str, Loop] = field(default_factory=dict)
    timers: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    events: dict[str, list[Callable[..., Any]]] = field(default_factory=dict)
    # make the service of a class each, and register it
    makers: list[Callable[[], None]] = field(default_factory=list)
    _plain: "Registry | None" = None

    def make_services(self) -> None:
        """Makes the services of classes. Their constructors may ask the host, which is not there while the component is built.

        A native test starts a service several times, each time without the services of the former start.
        """
        if not self.makers:
            return
        if self._plain is None:
            self._plain = Registry()
            self._plain._take(self)
        else:
            self._take(self._plain)
        for make in self.makers:
            make()

    def _take(self, other: "Registry") -> None:
        self.handlers, self.loops, self.timers = list(other.handlers), dict(other.loops), list(other.timers)
        self.events = {name: list(functions) for name, functions in other.events.items()}

    def add_handler(self, filter: str, is_global: bool, function: Callable[..., Any]) -> None:
        """Adds a function for text and the matches of the wildcards."""
        self.handlers.append(Handler(filter, 1, is_global, function, Text, None))

    def clear(self) -> None:
        """Forgets everything: for tests."""
        self._take(Registry())
        self.makers.clear()
        self._plain = None

    def matching(self, topic: str, message: Message | None) -> list[tuple[Handler, list[str]]]:
        """The handlers of a topic, with the matches of their wildcards. `message` is necessary only for handlers of full topics."""
        full = topic if message is None else message.topic
        is_relative = message is None or message.relative
        found = []
        for handler in self.handlers:
            if handler.is_global or is_relative:
                matches = captures(handler.filter, full if handler.is_global else topic)
                if matches is not None:
                    found.append((handler, matches))
        return found

    def subscriptions(self) -> dict[tuple[str, bool], int]:
        """The quality of service of each filter, by the filter and whether it is one of full topics."""
        found: dict[tuple[str, bool], int] = {}
        for handler in self.handlers:
            place = (handler.filter, handler.is_global)
            found[place] = max(handler.qos, found.get(place, 0))
        return found


registry = Registry()

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _decorator(add: Callable[[Callable[..., Any], bool], None]) -> Decorator:
    """Registers a function at once, and a method when its `Service` is made."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        place = function.__qualname__.rpartition(".")[0]
        if place and not place.endswith("<locals>"):
            function.__dict__.setdefault("_miqro", []).append(add)
        else:
            add(function, False)
        return function

    return decorate


def _payload(function: Callable[..., Any], is_method: bool) -> tuple[Any, int | None]:
    """The kind of payload that a handler wants, and the number of its parameters; `None`: as many as there are."""
    parameters = list(inspect.signature(function).parameters.values())
    default = Text if is_method else bytes
    if not parameters:
        return bytes, 0
    kind = parameters[0].annotation
    if kind is inspect.Parameter.empty:
        kind = default
    if isinstance(kind, str):
        kind = {known.__name__: known for known in _KINDS if known is not Any}.get(kind, Any)
    if kind not in (*_KINDS, Text):
        raise TypeError(f"{function.__name__}: expected a payload of type bytes, str, int, float, bool, dict, list or Any, found {kind}")
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return kind, None
    return kind, len(parameters)


def handle(filter: str, qos: int = 1, global_: bool = False) -> Decorator:
    """Has a function handle messages below the base topic, or with `global_` those of full topics.

    The function gets the payload, as the type of its annotation (`bytes` without one), and the matches of the wildcards.
    """

    def add(function: Callable[..., Any], is_method: bool) -> None:
        kind, parameters = _payload(function, is_method)
        registry.handlers.append(Handler(filter, qos, global_, function, kind, parameters))

    return _decorator(add)


def every(period: str | int | float, delay: str | int | float = 0, name: str | None = None) -> Decorator:
    """Has a function run now (after `delay`) and in each period. Returning `False` ends it."""

    def add(function: Callable[..., Any], is_method: bool) -> None:
        title = name or function.__name__
        if title in registry.loops:
            raise ValueError(f"there are two loops {title}: give one of them a name")
        registry.loops[title] = Loop(title, milliseconds(period), milliseconds(delay), function)

    return _decorator(add)


def loop(seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0, milliseconds: float = 0, delayed: bool = False) -> Decorator:
    """Has a function run in each period, as MIQRO's decorator does; `delayed`: not at once."""
    period = seconds + 60 * minutes + 3600 * hours + 86_400 * days + milliseconds / 1000
    return every(period, period if delayed else 0)


def timer(name: str) -> Decorator:
    """Has a function run when a timer of this name is due. `+` in the name matches one level, which the function gets."""

    def add(function: Callable[..., Any], is_method: bool) -> None:
        registry.timers.append((name, function))

    return _decorator(add)


def _event(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any], is_method: bool) -> None:
        registry.events.setdefault(name, []).append(function)

    return _decorator(add)


start = _event("start")
start.__doc__ = "Has a function run when the service starts, after the subscriptions."
stop = _event("stop")
connected = _event("connected")
disconnected = _event("disconnected")
delivered = _event("delivered")
config_changed = _event("config_changed")
save = _event("save")
load = _event("load")
fallback = _event("fallback")

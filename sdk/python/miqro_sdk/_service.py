"""Services as classes, as in MIQRO: a service ports by changing its imports.

    import miqro_sdk as miqro
    from miqro_sdk import WitWorld
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import _messages, log, state, timers
from ._convert import from_json
from ._registry import Decorator, handle, registry

_STATE = "miqro"


def handle_global(topic: str, qos: int = 1) -> Decorator:
    """Has a function handle messages of a full topic, which the section has to grant."""
    return handle(topic, qos, global_=True)


def accept_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has a method get the members of a JSON object as named arguments."""

    def with_members(self: Any, payload: str) -> Any:
        return function(self, **from_json(payload))

    with_members.__name__ = function.__name__
    with_members.__qualname__ = function.__qualname__
    return with_members


class Loop:
    """A function that is called in each interval while the loop runs; returning `False` stops it."""

    def __init__(self, fn: Callable[..., Any], interval: timedelta, start: bool = True) -> None:
        if not isinstance(interval, timedelta):
            raise TypeError(f"expected a timedelta as interval, found {interval!r}")
        self.fn = fn
        self.interval = interval
        self._starts = start
        self._name = ""

    def start(self, delayed: bool = False) -> None:
        """Starts it: at once, or with `delayed` after one interval."""
        timers.every(self._name, self.interval, self.interval if delayed else 0)

    def stop(self) -> None:
        """Stops it."""
        timers.cancel(self._name)

    def restart(self, delayed: bool = False) -> None:
        """Starts it from the beginning."""
        self.start(delayed=delayed)

    def get_remaining(self) -> timedelta | None:
        """The time until its next call; `None`: it does not run."""
        seconds = timers.remaining(self._name)
        return None if seconds is None else timedelta(seconds=seconds)


class State:
    """Values that outlive the service and the host. They are kept when the call succeeds."""

    def __getitem__(self, key: str) -> Any:
        return state.get(_STATE, {})[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.set_path(key, value=value)

    def get_path(self, *keys: str, default: Any) -> Any:
        """The value at the end of a path of keys."""
        found = state.get(_STATE, {})
        for key in keys:
            if key not in found:
                return default
            found = found[key]
        return found

    def set_path(self, *keys: str, value: Any) -> None:
        """Sets the value at the end of a path of keys."""
        values = state.get(_STATE, {})
        place = values
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
        state.set(_STATE, values)

    def save(self) -> None:
        """Does nothing: the host keeps the values when the call succeeds."""


class Log:
    """Log lines, with arguments for `%` in the text."""

    def debug(self, text: Any, *arguments: Any) -> None:
        """Writes a line of level debug."""
        log.debug(_formatted(text, arguments))

    def info(self, text: Any, *arguments: Any) -> None:
        """Writes a line of level info."""
        log.info(_formatted(text, arguments))

    def warning(self, text: Any, *arguments: Any) -> None:
        """Writes a line of level warn."""
        log.warn(_formatted(text, arguments))

    warn = warning

    def error(self, text: Any, *arguments: Any) -> None:
        """Writes a line of level error."""
        log.error(_formatted(text, arguments))

    exception = error


def _formatted(text: Any, arguments: tuple[Any, ...]) -> str:
    return str(text) % arguments if arguments else str(text)


class Service:
    """A service whose methods have the decorators. Its handlers get text where they name no other type.

        class Echo(Service):
            @handle("echo")
            def echo(self, payload):
                self.publish("echo_response", payload)

        Echo().run()
    """

    log = Log()
    state = State()
    subscribe = staticmethod(_messages.subscribe)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Arguments are accepted for MIQRO's sake and ignored."""

    @property
    def service_config(self) -> dict[str, Any]:
        """The section of the service in `miqro.yml`."""
        return _messages.config()

    @property
    def service_name(self) -> str:
        """The name of the service."""
        return _messages.me().name

    # the order of the parameters is MIQRO's
    def publish(
        self,
        ext: str,
        message: Any,
        retain: bool = False,
        qos: int = 0,
        only_if_changed: bool | timedelta | str | int | float = False,
        global_: bool = False,
        **options: Any,
    ) -> int | None:
        """Publishes a value below the base topic, or with `global_` on a full topic."""
        return _messages.publish(ext, message, qos, retain, global_, only_if_changed, **options)

    def publish_json(self, ext: str, message_json: Any, *terms: Any, **options: Any) -> int | None:
        """Publishes a value as JSON, also a text or a number. Further arguments are those of `publish`."""
        return self.publish(ext, _messages.to_json(message_json), *terms, **options)

    def publish_json_keys(self, message_dict: dict[str, Any], ext: str | None = None, *terms: Any, **options: Any) -> None:
        """Publishes one message for each key; dicts in it level by level. Further arguments are those of `publish`."""
        for key, value in message_dict.items():
            below = f"{ext}/{key}" if ext else str(key)
            if isinstance(value, dict):
                self.publish_json_keys(value, below, *terms, **options)
            else:
                self.publish(below, value, *terms, **options)

    def add_loop(self, loop: Loop) -> Loop:
        """Adds a loop. It runs from the start of the service on, unless it was made with `start=False`."""
        loop._name = f"{loop.fn.__name__}/{len(registry.timers)}"

        def run() -> Any:
            if loop.fn(self) is False:
                loop.stop()

        registry.timers.append((loop._name, run))
        if loop._starts:
            registry.events.setdefault("start", []).append(loop.start)
        return loop

    def add_handler(self, topic: str, handler: Callable[..., Any]) -> None:
        """Has `handler(service, payload)` handle messages below the base topic. For the constructor of a service."""
        registry.add_handler(topic, 1, False, lambda payload, *found: handler(self, payload, *found))

    def add_global_handler(self, topic: str, handler: Callable[..., Any]) -> None:
        """Has `handler(service, payload)` handle messages of full topics. For the constructor of a service."""
        registry.add_handler(topic, 1, True, lambda payload, *found: handler(self, payload, *found))

    def run(self) -> None:
        """Registers the methods that have decorators, in the order of the class."""
        names: dict[str, None] = {}
        for kind in reversed(type(self).__mro__):
            names.update(dict.fromkeys(vars(kind)))
        for name in names:
            if isinstance(getattr(type(self), name), property):
                continue
            method = getattr(self, name)
            for add in getattr(method, "_miqro", ()):
                add(method, True)


def run(service: type[Service]) -> None:
    """Makes a service of a class, as MIQRO's `run` does."""
    service().run()


__all__ = ["Loop", "Service", "State", "accept_json", "handle_global", "registry", "run"]

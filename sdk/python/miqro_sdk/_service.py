"""Services as classes, as in MIQRO: a service ports by changing its imports.

    import miqro_sdk as miqro
    from miqro_sdk import WitWorld
"""

# `datetime.strptime` imports it when it is first called, and nothing can be imported while the service runs
import _strptime  # noqa: F401
import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

from . import _convert, _messages, log
from ._convert import from_json
from ._errors import Denied
from ._logger import logger
from ._loop import Loop, function_name
from ._path_state import PATH_STATE, State
from ._registry import Decorator, handle, registry
from ._topics import Span
from .ha_sensors import Device, Entity, EntityWithoutStateTopic


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


class Service:
    """A service whose methods have the decorators. Its handlers get text where they name no other type.

        class Echo(Service):
            @handle("echo")
            def echo(self, payload):
                self.publish("echo_response", payload)

        run(Echo)
    """

    # part of the identities of devices and entities; the name of the service is that of its section
    SERVICE_NAME: str = "none"
    JSON_FLOAT_PRECISION: int = 4
    PAYLOAD_ON: Any = 1
    PAYLOAD_OFF: Any = 0
    # the state is always there
    USE_STATE_FILE: bool = False

    QOS_MAX_ONCE = 0
    QOS_AT_LEAST_ONCE = 1
    QOS_EXACTLY_ONCE = 2

    state: State = PATH_STATE
    # the host gives no messages to a service that is switched off, and keeps those that one without connection publishes
    enabled: bool = True
    is_connected: bool = True
    subscribe = staticmethod(_messages.subscribe)

    log: logging.Logger
    LOOPS: list[Loop]
    ha_devices: list[Device]
    ha_entities: list[EntityWithoutStateTopic]
    _handlers: list[tuple[str, bool, Callable[..., Any]]]
    _has_begun: bool

    def __new__(cls, *arguments: Any, **options: Any) -> "Service":
        """Gives it what its constructor may use before it calls this class's."""
        service = super().__new__(cls)
        service.log = logger(cls.SERVICE_NAME)
        service.LOOPS, service.ha_devices, service.ha_entities = [], [], []
        service._handlers, service._has_begun = [], False
        return service

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Arguments are accepted for MIQRO's sake and ignored."""

    @cached_property
    def service_config(self) -> dict[str, Any]:
        """The section of the service in `miqro.yml`, without the keys that are for the host."""
        return _messages.config()

    @property
    def config(self) -> dict[str, Any]:
        """The part of `miqro.yml` that a service sees: its own section and the prefix of announcements."""
        return {"ha_discovery_prefix": _messages.me().discovery_prefix, "services": {self.SERVICE_NAME: self.service_config}}

    @property
    def service_name(self) -> str:
        """The name of the service."""
        return _messages.me().name

    @cached_property
    def data_topic_prefix(self) -> str:
        """The base topic, with a slash at its end."""
        return _messages.me().base_topic

    @property
    def willtopic(self) -> str:
        """The topic on which the host says whether the service is online."""
        return f"{self.data_topic_prefix}online"

    # the order of the parameters is MIQRO's
    def publish(
        self,
        ext: str | Entity,
        message: Any,
        retain: bool = False,
        qos: int = 0,
        only_if_changed: bool | Span = False,
        global_: bool = False,
        **options: Any,
    ) -> int | None:
        """Publishes a value below the base topic, with `global_` on a full topic, or as the state of an entity."""
        on, off = self.PAYLOAD_ON, self.PAYLOAD_OFF
        topic = ext if isinstance(ext, str) else ext.state_topic_postfix
        if isinstance(message, bool):
            on, off = getattr(ext, "payload_on", on), getattr(ext, "payload_off", off)
            message = on if message else off
        return _messages.publish(topic, message, qos, retain, global_, only_if_changed, **options)

    def publish_json(self, ext: str | Entity, message_json: Any, *terms: Any, **options: Any) -> int | None:
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
        self.LOOPS.append(loop)
        if self._has_begun:
            self._attach(loop)
        return loop

    def add_handler(self, topic: str, handler: Callable[..., Any]) -> None:
        """Has `handler(service, payload)` handle messages below the base topic; with the remainder as well for a topic with `#`."""
        self._add(topic, False, handler)

    def add_global_handler(self, topic: str, handler: Callable[..., Any]) -> None:
        """Has `handler(service, payload)` handle messages of full topics, which the section has to grant."""
        self._add(topic, True, handler)

    def handle_message(self, topic: str, payload: str) -> bool:
        """Handles a message, with its full topic, that no handler takes. Returns whether it did."""
        return False

    def run(self) -> None:
        """Has the service begin when the component starts."""
        registry.makers.append(self.begin)

    def begin(self) -> None:
        """Registers handlers and loops, those of the methods first, in the order of the class, and announces devices and entities."""
        _convert.set_default_precision(self.JSON_FLOAT_PRECISION)
        names: dict[str, None] = {}
        for kind in reversed(type(self).__mro__):
            names.update(dict.fromkeys(vars(kind)))
        for name in names:
            for add in getattr(getattr(type(self), name, None), "_miqro", ()):
                add(getattr(self, name), True)

        for topic, is_global, handler in self._handlers:
            self._register(topic, is_global, handler)
        for loop in self.LOOPS:
            self._attach(loop)
        events: dict[str, Callable[..., Any]] = {
            "connected": self._on_connected, "disconnected": self._on_disconnected, "config_changed": self._on_config_changed,
            "fallback": self._on_unhandled,
        }
        for event, function in events.items():
            registry.events.setdefault(event, []).append(function)
        self._has_begun = True
        self._announce()

    def _add(self, topic: str, is_global: bool, handler: Callable[..., Any]) -> None:
        self._handlers.append((topic, is_global, handler))
        if self._has_begun:
            self._register(topic, is_global, handler)
            _messages.subscribe(topic, global_=is_global)

    def _register(self, topic: str, is_global: bool, handler: Callable[..., Any]) -> None:
        registry.add_handler(topic, is_global, lambda payload, *found: handler(self, payload, *found))

    def _attach(self, loop: Loop) -> None:
        name = f"{function_name(loop.fn)}/{len(registry.timers)}"
        registry.timers.append((name, lambda: loop.run(self)))
        loop.attach(name)

    def _announce(self) -> None:
        """Announces devices and entities. A service without the grant does its work all the same."""
        try:
            prefix = _messages.me().discovery_prefix
            for device in self.ha_devices:
                device.publish_discovery(prefix)
            for entity in self.ha_entities:
                entity.publish_discovery(prefix)
        except Denied as error:
            log.warn(f"Home Assistant is not told of devices and entities: {error}")

    def _on_connected(self) -> None:
        # the first time it was announced at the start already
        if not self.is_connected:
            self._announce()
        self.is_connected = True

    def _on_disconnected(self) -> None:
        self.is_connected = False

    def _on_config_changed(self) -> None:
        self.__dict__.pop("service_config", None)

    def _on_unhandled(self, payload: bytes, topic: str) -> None:
        message = _messages.current_message()
        full = topic if message is None else message.topic
        is_handled = self.handle_message(full, _convert.decode(payload, _convert.Text))
        if not is_handled and registry.events["fallback"] == [self._on_unhandled]:
            log.warn("no handler for a message", topic=full)


def run(service: type[Service]) -> None:
    """Has a service of this class made when the component starts."""
    registry.makers.append(lambda: service().begin())


__all__ = ["Loop", "Service", "State", "accept_json", "handle_global", "registry", "run"]

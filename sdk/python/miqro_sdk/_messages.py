"""Publishing, subscribing, requests, and the section of the service."""

import json
from dataclasses import dataclass, field
from typing import Any

from . import _host
from ._convert import encode, to_json
from ._topics import Span, milliseconds


@dataclass
class Properties:
    """Properties that travel with a message (MQTT 5)."""

    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    message_expiry: int | None = None
    utf8: bool = False
    user_properties: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Message:
    """Facts about the message being handled."""

    topic: str
    relative: bool
    qos: int
    retain: bool
    dup: bool
    attempt: int
    properties: Properties | None


@dataclass
class Response:
    """The answer to a request."""

    payload: bytes
    properties: Properties | None


@dataclass
class Outcome:
    """What became of a message that was published with QoS 1 or 2: `delivered`, `timed-out` or `refused`, with the reason."""

    name: str
    reason: str | None = None


def publish(
    topic: str,
    value: Any,
    qos: int = 0,
    retain: bool = False,
    global_: bool = False,
    only_if_changed: bool | Span = False,
    properties: Properties | None = None,
) -> int | None:
    """Publishes a value when the call succeeds. With QoS 1 and 2 the returned token names it in `delivered`.

    `only_if_changed`: `True`, or a span of time in which an unchanged value is left out.
    """
    messaging = _host.messaging
    rule = None
    if only_if_changed is True:
        rule = messaging.OnlyIfChanged_Always()
    elif only_if_changed is not False:
        rule = messaging.OnlyIfChanged_Within(milliseconds(only_if_changed))

    payload = encode(value)
    options = None
    if qos or retain or global_ or rule or properties:
        options = messaging.PublishOptions(messaging.Qos(qos), retain, global_, rule, _to_host(properties))
    with _host.errors():
        return messaging.publish(topic, payload, options)


def publish_json(topic: str, value: Any, **options: Any) -> int | None:
    """Publishes a value as JSON, also a text or a number."""
    return publish(topic, to_json(value), **options)


def publish_json_keys(value: dict[str, Any], topic: str = "", **options: Any) -> None:
    """Publishes one message for each key, below `topic`; dicts in it level by level."""
    for key, item in value.items():
        below = f"{topic}/{key}" if topic else str(key)
        if isinstance(item, dict):
            publish_json_keys(item, below, **options)
        else:
            publish(below, item, **options)


def request(
    topic: str,
    value: Any,
    deadline: str | int | float = 30,
    global_: bool = False,
    properties: Properties | None = None,
) -> Response:
    """Publishes a request and waits for its answer. It is sent at once, and stays sent when the call fails later."""
    options = _host.messaging.RequestOptions(global_, milliseconds(deadline), _to_host(properties))
    with _host.errors():
        response = _host.messaging.request(topic, encode(value), options)
    return Response(response.payload, _from_host(response.properties))


def subscribe(filter: str, qos: int = 1, global_: bool = False) -> None:
    """Subscribes when the call succeeds. Messages go to the handlers whose filters match, or to the `fallback`."""
    messaging = _host.messaging
    with _host.errors():
        messaging.subscribe(filter, messaging.SubscribeOptions(messaging.Qos(qos), global_))


def unsubscribe(filter: str, global_: bool = False) -> None:
    """Ends a subscription when the call succeeds."""
    with _host.errors():
        _host.messaging.unsubscribe(filter, global_)


def current_message() -> Message | None:
    """The message being handled; `None` outside of a handler."""
    info = _host.messaging.current_message()
    if info is None:
        return None
    properties = _from_host(info.properties)
    return Message(info.topic, info.relative, info.qos.value, info.retain, info.dup, info.attempt, properties)


def config() -> dict[str, Any]:
    """The section of the service in `miqro.yml`, without the keys that are for the host."""
    return json.loads(_host.config.get())


def me() -> Any:
    """The identity of the service: `name`, `base_topic`, `discovery_prefix`."""
    return _host.config.me()


def _to_host(properties: Properties | None) -> Any:
    if properties is None:
        return None
    return _host.messaging.Properties(
        properties.response_topic, properties.correlation_data, properties.content_type, properties.message_expiry,
        properties.utf8, properties.user_properties,
    )


def _from_host(properties: Any) -> Properties | None:
    if properties is None:
        return None
    return Properties(
        properties.response_topic, properties.correlation_data, properties.content_type, properties.message_expiry,
        properties.utf8, list(properties.user_properties),
    )

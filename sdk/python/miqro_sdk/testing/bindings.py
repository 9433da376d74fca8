"""The functions of the contract on a table: what the bindings of a component are otherwise."""

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


class Err(Exception):
    """An error of the contract."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


class Qos(enum.Enum):
    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


class Level(enum.Enum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


def _record(name: str, *fields: str) -> type:
    def __init__(self: Any, *values: Any) -> None:
        self.__dict__.update(zip(fields, values, strict=True))

    return type(name, (), {"__init__": __init__})


OnlyIfChanged_Always = _record("OnlyIfChanged_Always")
OnlyIfChanged_Within = _record("OnlyIfChanged_Within", "value")
PublishOptions = _record("PublishOptions", "qos", "retain", "global_", "only_if_changed", "properties")
Properties = _record(
    "Properties", "response_topic", "correlation_data", "content_type", "message_expiry", "utf8", "user_properties"
)
RequestOptions = _record("RequestOptions", "global_", "deadline", "properties")
SubscribeOptions = _record("SubscribeOptions", "qos", "global_")
MessagingError_Denied = _record("MessagingError_Denied", "value")
RequestError_TimedOut = _record("RequestError_TimedOut")


@dataclass
class _Timer:
    at: int
    period: int | None


class TestHost:
    """A host for the service under test. The test plays broker and clock; the last host that was made is the present one.

    It starts the service, tells it that it is connected, and runs the loops that are due at once, as the real host does. `answers` are
    those to requests, by topic. `http` gets the requests of `miqro_sdk.http`, with `method`, `url`, `headers` and `body`, and returns
    status and body of the response.
    """

    __test__ = False
    current: "TestHost"

    def __init__(
        self,
        name: str = "test",
        config: dict[str, Any] | None = None,
        state: dict[str, bytes] | None = None,
        answers: dict[str, bytes] | None = None,
        http: Callable[[Any], tuple[int, str | bytes]] | None = None,
    ) -> None:
        from .._world import WitWorld

        self.name, self.config, self.state = name, config or {}, dict(state or {})
        self.subscriptions: dict[str, bool] = {}
        self.timers: dict[str, _Timer] = {}
        self.answers = dict(answers or {})
        self.http = http
        self.log: list[tuple[str, str]] = []
        self._published: list[tuple[str, bytes]] = []
        self._now, self._due, self._message = 0, [], None
        TestHost.current = self
        self._world = WitWorld()
        self._call(self._world.start)
        self._call(self._world.connected, False)
        self.advance(0)

    def send(self, topic: str, value: Any, global_: bool = False, retain: bool = False) -> None:
        """Sends a message. Raises `AssertionError` when the service has not subscribed to the topic."""
        from .._convert import encode
        from .._topics import captures

        matches = any(captures(filter, topic) is not None for filter, is_global in self.subscriptions.items() if is_global == global_)
        assert matches, f"the service has no subscription that matches {topic}"
        base = f"service/{self.name}/"
        self._message = _record("MessageInfo", "topic", "relative", "qos", "retain", "dup", "attempt", "properties")(
            topic if global_ else base + topic, not global_, Qos.AT_MOST_ONCE, retain, False, 1, None
        )
        try:
            self._call(self._world.handle, topic, encode(value))
        finally:
            self._message = None

    def advance(self, seconds: float) -> None:
        """Moves the clock, and runs what becomes due."""
        end = self._now + round(seconds * 1000)
        while True:
            due = min(((timer.at, name) for name, timer in self.timers.items() if timer.at <= end), default=None)
            if due is None:
                break
            self._now, name = due
            timer = self.timers[name]
            if timer.period is None:
                del self.timers[name]
            else:
                timer.at += timer.period
            self._due = [_record("DueTimer", "name", "count")(name, 1)]
            try:
                self._call(self._world.tick)
            finally:
                self._due = []
        self._now = end

    def published(self) -> list[tuple[str, bytes]]:
        """The messages since the last time: topics and payloads."""
        published, self._published = self._published, []
        return published

    def _call(self, function: Any, *arguments: Any) -> None:
        """A call is a transaction: an error undoes it."""
        before = (dict(self.state), dict(self.subscriptions), dict(self.timers), list(self._published))
        try:
            function(*arguments)
        except Err as error:
            self.state, self.subscriptions, self.timers, self._published = before
            raise AssertionError(f"the service returned an error: {error.value}") from None


def _publish(topic: str, payload: bytes, options: Any) -> int | None:
    TestHost.current._published.append((topic, payload))
    return 1 if options is not None and options.qos is not Qos.AT_MOST_ONCE else None


def _request(topic: str, payload: bytes, options: Any) -> Any:
    host = TestHost.current
    if topic not in host.answers:
        raise Err(RequestError_TimedOut())
    return _record("Response", "payload", "properties")(host.answers[topic], None)


def exchange(sent: Any) -> tuple[int, list[tuple[str, bytes]], bytes]:
    """The response to a request of `miqro_sdk.http`."""
    from ..http import exceptions

    respond = TestHost.current.http
    if respond is None:
        raise exceptions.ConnectionError(f"{sent.place}: not granted; expected an argument http of TestHost, found none")
    status, body = respond(sent)
    return status, [], body.encode() if isinstance(body, str) else body


def _set_timer(name: str, period: int | None, delay: int) -> None:
    host = TestHost.current
    host.timers[name] = _Timer(host._now + delay, period)


def _remaining(name: str) -> int | None:
    host = TestHost.current
    return host.timers[name].at - host._now if name in host.timers else None


def _identity() -> Any:
    name = TestHost.current.name
    return SimpleNamespace(name=name, base_topic=f"service/{name}/", discovery_prefix="homeassistant")


messaging = SimpleNamespace(
    Qos=Qos, OnlyIfChanged_Always=OnlyIfChanged_Always, OnlyIfChanged_Within=OnlyIfChanged_Within,
    PublishOptions=PublishOptions, Properties=Properties, RequestOptions=RequestOptions, SubscribeOptions=SubscribeOptions,
    publish=_publish, request=_request,
    subscribe=lambda filter, options: TestHost.current.subscriptions.update({filter: options.global_}),
    unsubscribe=lambda filter, is_global: TestHost.current.subscriptions.pop(filter, None),
    current_message=lambda: TestHost.current._message,
)
timers = SimpleNamespace(
    every=lambda name, period, delay: _set_timer(name, period, delay),
    after=lambda name, delay: _set_timer(name, None, delay),
    cancel=lambda name: TestHost.current.timers.pop(name, None),
    remaining=_remaining,
    due=lambda: TestHost.current._due,
)
config = SimpleNamespace(get=lambda: json.dumps(TestHost.current.config), me=_identity)
state = SimpleNamespace(
    get=lambda key: TestHost.current.state.get(key),
    set=lambda key, value: TestHost.current.state.update({key: value}),
    delete=lambda key: TestHost.current.state.pop(key, None),
    keys=lambda prefix: sorted(key for key in TestHost.current.state if key.startswith(prefix)),
)
log = SimpleNamespace(
    Level=Level, log=lambda level, message, fields: TestHost.current.log.append((level.name, message)),
)

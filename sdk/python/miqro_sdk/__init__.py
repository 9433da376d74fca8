"""Write MQTT services for MIQRO host in Python.

    from miqro_sdk import WitWorld, every, handle, publish

    @handle("echo")
    def echo(payload):
        publish("echo_response", payload)

    @every("10s")
    def beat():
        publish("beat", {"answer": 42.01})

Publishes, subscriptions, state and timers of a call take effect when it succeeds, and not at all when it raises an exception; then
the host tries the message again.
"""

from . import ha_sensors, log, state, timers
from ._convert import decode, encode, to_json
from ._errors import Denied, Error, InvalidProperty, InvalidTopic, LimitExceeded, StateError, TimedOut, TimersError, Unavailable
from ._loop import Loop
from ._messages import (
    Message,
    Outcome,
    Properties,
    Response,
    config,
    current_message,
    me,
    publish,
    publish_json,
    publish_json_keys,
    request,
    subscribe,
    unsubscribe,
)
from ._path_state import State
from ._registry import (
    config_changed,
    connected,
    delivered,
    disconnected,
    every,
    fallback,
    handle,
    load,
    loop,
    save,
    start,
    stop,
    timer,
)
from ._service import Service, accept_json, handle_global, run
from ._world import WitWorld

__version__ = "0.1.0"

__all__ = [
    "Denied", "Error", "InvalidProperty", "InvalidTopic", "LimitExceeded", "Loop", "Message", "Outcome", "Properties", "Response",
    "Service", "State", "StateError", "TimedOut", "TimersError", "Unavailable", "WitWorld", "accept_json", "config", "config_changed",
    "connected", "current_message", "decode", "delivered", "disconnected", "encode", "every", "fallback", "ha_sensors", "handle",
    "handle_global", "load", "log", "loop", "me", "publish", "publish_json", "publish_json_keys", "request", "run", "save", "start", "state",
    "stop", "subscribe", "timer", "timers", "to_json", "unsubscribe",
]

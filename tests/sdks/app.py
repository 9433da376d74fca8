"""Calls each function of the SDK by its name in the contract."""

from miqro_sdk import (  # noqa: F401
    WitWorld, config, config_changed, connected, current_message, delivered, disconnected, fallback, handle, load, log, me, publish,
    request, save, start, state, stop, subscribe, timer, timers, unsubscribe,
)


def done(value):
    publish("done", value)


CALLS = {
    "messaging.publish": lambda text: publish("done", text, qos=2, retain=True),
    "messaging.request": lambda text: done(request("ask", text).payload),
    "messaging.subscribe": subscribe,
    "messaging.unsubscribe": unsubscribe,
    "messaging.current-message": lambda _: done(current_message().topic),
    "timers.every": lambda name: timers.every(name, "1s"),
    "timers.after": lambda name: timers.after(name, "2s"),
    "timers.cancel": timers.cancel,
    "timers.remaining": lambda name: done(timers.remaining(name) is not None),
    "config.get": lambda _: done(config()),
    "config.me": lambda _: done(me().name),
    "state.get": lambda _: done(state.get("key")),
    "state.set": lambda text: state.set("key", int(text)),
    "state.delete": lambda _: state.delete("key"),
    "state.keys": lambda prefix: done(",".join(state.keys(prefix))),
    "log.log": lambda text: log.info(text, field=1),
}


@handle("call/+")
def call(payload: str, name: str):
    CALLS[name](payload)


@fallback
def other(payload, topic):
    done(topic)


@timer("+")
def due(name):
    done(name)


@start
def on_start():
    done("start")


@stop
def on_stop():
    done("stop")


@connected
def on_connected(session_present):
    done("connected")


@disconnected
def on_disconnected():
    done("disconnected")


@delivered
def on_delivered(token, outcome):
    log.debug("delivered", token=token)


@config_changed
def on_config_changed():
    log.debug("changed")


@save
def on_save():
    return "kept"


@load
def on_load(saved):
    done(saved)

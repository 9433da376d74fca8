"""{{name}}: answers messages, and publishes a greeting every ten seconds.

All imports stand at the top: nothing can be imported while the service runs.
"""

from miqro_sdk import WitWorld, config, every, handle, publish, state  # noqa: F401  (WitWorld is what the component exports)


def greeting(text: str, count: int) -> dict:
    """The greeting that is published."""
    return {"text": text, "count": count}


@handle("echo")
def echo(payload: bytes) -> None:
    publish("echo_response", payload)


@every("10s")
def greet() -> None:
    count = state.get("count", 0) + 1
    state.set("count", count)
    publish("greeting", greeting(config().get("greeting", "hello"), count))

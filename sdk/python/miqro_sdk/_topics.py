"""Topic filters and spans of time."""

import re
from datetime import timedelta

# Text such as `10s`, a number of seconds, or a `timedelta`.
Span = str | int | float | timedelta

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def captures(filter: str, topic: str) -> list[str] | None:
    """The matches of the wildcards of `filter`: a level for each `+`, the remainder for `#`; `None`: it does not match."""
    if filter.startswith("$share/"):
        filter = filter.split("/", 2)[2]
    if topic.startswith("$") and filter[:1] in ("+", "#"):
        return None

    found: list[str] = []
    levels: list[str] = topic.split("/")
    for place, level in enumerate(filter.split("/")):
        if level == "#":
            found.append("/".join(levels[place:]))
            return found
        if place >= len(levels) or level not in ("+", levels[place]):
            return None
        if level == "+":
            found.append(levels[place])
    return found if place + 1 == len(levels) else None


def milliseconds(span: Span) -> int:
    """A span of time in milliseconds: text such as `10s`, `1m30s` or `500ms`, a number of seconds, or a `timedelta`."""
    if isinstance(span, timedelta):
        return round(span.total_seconds() * 1000)
    if isinstance(span, (int, float)):
        return round(span * 1000)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[dhms])", span)
    if not parts or "".join(number + unit for number, unit in parts) != span.replace(" ", ""):
        raise ValueError(f"expected a span of time such as 10s, 1m30s or 500ms, found {span!r}")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))

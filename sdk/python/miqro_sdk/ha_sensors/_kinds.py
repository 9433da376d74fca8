"""The kinds of entities but climate."""

from dataclasses import dataclass, field
from typing import ClassVar

from ._entity import Callback, Entity, EntityWithoutStateTopic


@dataclass(eq=False, kw_only=True)
class Event(Entity):
    """Something that happens."""

    _component: ClassVar[str] = "event"
    event_types: list[str] | None = None


@dataclass(eq=False, kw_only=True)
class BinarySensor(Entity):
    """A measured value that is on or off."""

    _component: ClassVar[str] = "binary_sensor"
    off_delay: int | None = None
    payload_off: str | None = None
    payload_on: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.payload_on is None:
            self.payload_on = str(self.owner.PAYLOAD_ON)
        if self.payload_off is None:
            self.payload_off = str(self.owner.PAYLOAD_OFF)


@dataclass(eq=False, kw_only=True)
class Sensor(Entity):
    """A measured value. With `options` it is one of these texts."""

    _component: ClassVar[str] = "sensor"
    unit_of_measurement: str | None = None
    state_class: str | None = None
    last_reset_value_template: str | None = None
    suggested_display_precision: int | None = None
    options: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.options is not None:
            self.device_class = "enum"


@dataclass(eq=False, kw_only=True)
class Switch(Entity):
    """A switch."""

    _component: ClassVar[str] = "switch"
    optimistic: bool | None = None
    command_topic_postfix: str = ""
    command_callback: Callback = None
    payload_off: str = "off"
    payload_on: str = "on"


@dataclass(eq=False, kw_only=True)
class Text(Entity):
    """A text that can be set."""

    _component: ClassVar[str] = "text"
    optimistic: bool | None = None
    command_topic_postfix: str = ""
    command_callback: Callback = None
    max: int = 255
    min: int = 0
    mode: str | None = "text"
    pattern: str | None = None
    retain: bool | None = None


@dataclass(eq=False, kw_only=True)
class Number(Entity):
    """A number that can be set."""

    _component: ClassVar[str] = "number"
    optimistic: bool | None = None
    command_topic_postfix: str = ""
    command_callback: Callback = None
    max: float = 100
    min: float = 1
    mode: str | None = None
    payload_reset: str | None = None
    retain: bool | None = None
    step: float | None = None
    unit_of_measurement: str | None = None


@dataclass(eq=False, kw_only=True)
class Select(Entity):
    """A choice among `options`."""

    _component: ClassVar[str] = "select"
    optimistic: bool | None = None
    command_topic_postfix: str = ""
    command_callback: Callback = None
    retain: bool | None = None
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError(f"{self.name}: expected options to select from, found none")
        super().__post_init__()


@dataclass(eq=False, kw_only=True)
class Button(EntityWithoutStateTopic):
    """A button."""

    _component: ClassVar[str] = "button"
    optimistic: bool | None = None
    command_topic_postfix: str = ""
    command_callback: Callback = None
    payload_press: str = "PRESS"
    retain: bool | None = None


@dataclass(eq=False, kw_only=True)
class DeviceTracker(EntityWithoutStateTopic):
    """The place of a device, in its attributes."""

    _component: ClassVar[str] = "device_tracker"

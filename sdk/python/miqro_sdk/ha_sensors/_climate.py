"""Heating and cooling."""

from dataclasses import dataclass
from typing import ClassVar

from ._entity import Callback, EntityWithoutStateTopic


@dataclass(eq=False, kw_only=True)
class ClimateController(EntityWithoutStateTopic):
    """A device that heats or cools. Each value that can be set has topics for commands and for its state."""

    _component: ClassVar[str] = "climate"

    # measured
    current_humidity_topic_postfix: str | None = None
    current_humidity_template: str | None = None
    current_temperature_topic_postfix: str | None = None
    current_temperature_template: str | None = None

    # set: temperature, or a range of it, and humidity
    temperature_command_topic_postfix: str | None = None
    temperature_command_template: str | None = None
    temperature_command_callback: Callback = None
    temperature_state_topic_postfix: str | None = None
    temperature_state_template: str | None = None

    temperature_high_command_topic_postfix: str | None = None
    temperature_high_command_template: str | None = None
    temperature_high_command_callback: Callback = None
    temperature_high_state_topic_postfix: str | None = None
    temperature_high_state_template: str | None = None

    temperature_low_command_topic_postfix: str | None = None
    temperature_low_command_template: str | None = None
    temperature_low_command_callback: Callback = None
    temperature_low_state_topic_postfix: str | None = None
    temperature_low_state_template: str | None = None

    target_humidity_command_topic_postfix: str | None = None
    target_humidity_command_template: str | None = None
    target_humidity_command_callback: Callback = None
    target_humidity_state_topic_postfix: str | None = None
    target_humidity_state_template: str | None = None

    # set: modes
    mode_command_topic_postfix: str | None = None
    mode_command_template: str | None = None
    mode_command_callback: Callback = None
    mode_state_topic_postfix: str | None = None
    mode_state_template: str | None = None
    modes: list[str] | None = None

    fan_mode_command_topic_postfix: str | None = None
    fan_mode_command_template: str | None = None
    fan_mode_command_callback: Callback = None
    fan_mode_state_topic_postfix: str | None = None
    fan_mode_state_template: str | None = None
    fan_modes: list[str] | None = None

    preset_mode_command_topic_postfix: str | None = None
    preset_mode_command_template: str | None = None
    preset_mode_command_callback: Callback = None
    preset_mode_state_topic_postfix: str | None = None
    preset_mode_state_template: str | None = None
    preset_modes: list[str] | None = None

    swing_mode_command_topic_postfix: str | None = None
    swing_mode_command_template: str | None = None
    swing_mode_command_callback: Callback = None
    swing_mode_state_topic_postfix: str | None = None
    swing_mode_state_template: str | None = None
    swing_modes: list[str] | None = None

    swing_horizontal_mode_command_topic_postfix: str | None = None
    swing_horizontal_mode_command_template: str | None = None
    swing_horizontal_mode_command_callback: Callback = None
    swing_horizontal_mode_state_topic_postfix: str | None = None
    swing_horizontal_mode_state_template: str | None = None
    swing_horizontal_modes: list[str] | None = None

    # switched on and off
    power_command_topic_postfix: str | None = None
    power_command_template: str | None = None
    power_command_callback: Callback = None
    payload_on: str | None = None
    payload_off: str | None = None

    optimistic: bool | None = None
    initial: float | None = None
    max_humidity: float | None = None
    min_humidity: float | None = None
    max_temp: float | None = None
    min_temp: float | None = None
    precision: str | None = None
    temp_step: float | None = None
    temperature_unit: str | None = None

    def __post_init__(self) -> None:
        for value, choices in [(self.precision, ("0.1", "0.5", "1.0")), (self.temperature_unit, ("C", "F"))]:
            if value is not None and value not in choices:
                raise ValueError(f"{self.name}: expected one of {', '.join(choices)}, found {value!r}")
        super().__post_init__()

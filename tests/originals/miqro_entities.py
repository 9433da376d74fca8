"""Announcements of entities of every kind, from MIQRO or from the SDK: `miqro_entities.py miqro CONFIG` or `miqro_entities.py miqro_sdk`.

It prints a JSON object of topics and payloads.
"""
import importlib
import json
import sys

miqro = importlib.import_module(sys.argv[1])
ha = miqro.ha_sensors


def ignore(*_):
    pass


class House(miqro.Service):
    SERVICE_NAME = "house"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        bridge = ha.Device(self, "Bridge", connections=[("mac", "00:11")], identifiers=["one", "two"])
        device = ha.Device(
            service=self, name="Küche/1 ", model="M", manufacturer="F", sw_version="1", hw_version="2", identifiers="own",
            suggested_area="Kitchen", via_device=bridge,
        )
        plain = ha.Device(self, "plain")

        ha.BinarySensor(device, "door", "Door", "door", True, "diagnostic", 60, True, "mdi:door", state_topic_postfix="door/state")
        ha.BinarySensor(device=device, name="rain?", state_topic_postfix="rain", payload_on="wet", payload_off="dry", off_delay=5)
        ha.Sensor(device=device, name="power", state_topic_postfix="p", unit_of_measurement="W", state_class="measurement", qos=1)
        ha.Sensor(device=device, name="state", state_topic_postfix="s", options=["a", "b"], suggested_display_precision=2)
        ha.Switch(device=device, name="light", state_topic_postfix="l", command_topic_postfix="l/set", command_callback=ignore)
        ha.Switch(device=device, name="fan", state_topic_postfix="f", command_topic_postfix="f/set", optimistic=True, payload_on="1")
        ha.Text(device=device, name="note", state_topic_postfix="n", command_topic_postfix="n/set", max=20, pattern="[a-z]*")
        ha.Number(device=device, name="level", state_topic_postfix="v", command_topic_postfix="v/set", step=0.5, mode="box")
        ha.Select(device=device, name="mode", state_topic_postfix="m", command_topic_postfix="m/set", options=["x", "y"])
        ha.Event(device=device, name="bell", state_topic_postfix="bell", event_types=["ring"], value_template="{{ value }}")
        ha.Button(device=device, name="reset", command_topic_postfix="r", command_callback=ignore, json_attributes_topic_postfix="i")
        ha.DeviceTracker(device=plain, name="car", json_attributes_topic_postfix="car", json_attributes_template="{{ value }}")
        ha.ClimateController(
            device=plain, name="heating", modes=["off", "heat"], mode_state_topic_postfix="h/mode", mode_command_topic_postfix="h/mode/set",
            temperature_command_topic_postfix="h/t/set", temperature_command_callback=ignore, temperature_state_topic_postfix="h/t",
            current_temperature_topic_postfix="h/now", fan_modes=["low"], fan_mode_command_topic_postfix="h/fan/set",
            fan_mode_command_callback=ignore, power_command_topic_postfix="h/on/set", power_command_callback=ignore, payload_on="1",
            min_temp=5, max_temp=25.5, initial=20, precision="0.5", temp_step=0.5, temperature_unit="C", optimistic=False,
        )

        ha.Sensor(device=None, service=self, name="alone", state_topic_postfix="alone", unique_id="mine", default_entity_id="sensor.alone")
        ha.Button(device=None, service=self, name="push", command_topic_postfix="push", icon="mdi:bell", enabled_by_default=False)


def of_the_sdk():
    from miqro_sdk.testing import TestHost

    miqro.run(House)
    return [(topic, payload.decode()) for topic, payload in TestHost(name="house").published()]


def of_miqro():
    published = []

    class Client:
        """Stands for the client of paho, and notes the messages."""

        def publish(self, topic, payload, **_):
            published.append((topic, payload))

        def __init__(self, *_):
            for name in ["enable_logger", "will_set", "connect_async", "subscribe"]:
                setattr(self, name, lambda *_, **__: None)

    service = House(add_config_file_path=sys.argv[2], mqtt_client_cls=Client)
    service._on_connect(service.mqtt_client, None, None, 0)
    return published


said = of_miqro() if sys.argv[1] == "miqro" else of_the_sdk()
print(json.dumps({topic: json.loads(payload) for topic, payload in said if topic.startswith("homeassistant/")}))

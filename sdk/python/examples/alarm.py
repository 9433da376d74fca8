"""An alarm over MQTT, as a service of MIQRO: sensors on topics of others, a time to switch it off, and a state that survives.

The section of miqro.yml:

    services:
      alarm:
        inputs:
          door: {topic: home/door/open, on: "1"}
          smoke: {topic: home/kitchen/smoke, above: 200}
        prealarm: 30     # seconds from the first input to the alarm
        silence: 3600    # seconds without any news of the inputs until that is reported
"""
from datetime import timedelta

import miqro


class AlarmService(miqro.Service):
    SERVICE_NAME = "alarm"
    USE_STATE_FILE = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.prealarm = self.add_loop(miqro.Loop(AlarmService.raise_alarm, timedelta(seconds=30), start=False))
        self.silence = self.add_loop(miqro.Loop(AlarmService.report_silence, timedelta(hours=1), start=False))

    @miqro.handle("enabled/command")
    def set_enabled(self, payload):
        self.state.set_path("enabled", value=payload == "1")
        self.state.save()
        self.reset()

    @miqro.handle("reset/command")
    def on_reset(self, payload):
        self.log.info("reset by command")
        self.reset()

    @miqro.handle_global("home/#")
    def on_input(self, payload, rest):
        for label, rule in self.service_config["inputs"].items():
            if rule["topic"] == "home/" + rest:
                self.on_value(label, rule, payload)

    def on_value(self, label, rule, payload):
        self.silence.interval = timedelta(seconds=self.service_config.get("silence", 3600))
        self.silence.restart(delayed=True)
        active = payload == rule["on"] if "on" in rule else float(payload) > rule["above"]
        self.state.set_path("inputs", label, value=active)
        self.state.save()
        self.publish_json_keys(
            {"state": active, "value": payload},
            "input/" + label,
            only_if_changed=timedelta(minutes=1),
        )
        if active and self.state.get_path("enabled", default=False) and self.prealarm.get_remaining() is None:
            self.prealarm.interval = timedelta(seconds=self.service_config.get("prealarm", 30))
            self.prealarm.start(delayed=True)
            self.publish("state", "prealarm", retain=True, qos=1)

    def raise_alarm(self):
        active = [label for label, on in self.state.get_path("inputs", default={}).items() if on]
        self.publish("state", "alarm", retain=True, qos=1)
        self.publish("info", {"inputs": active})
        return False

    def report_silence(self):
        self.publish("all_inputs_online", False)
        return False

    def reset(self):
        self.prealarm.stop()
        enabled = self.state.get_path("enabled", default=False)
        self.publish("state", "armed" if enabled else "off", retain=True, qos=1)


miqro.run(AlarmService)

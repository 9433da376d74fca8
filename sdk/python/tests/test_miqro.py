"""Services of MIQRO on the SDK, natively: loops, handlers, state, log. Those that are published run in the host's tests."""

import logging
import unittest
from datetime import date, datetime, timedelta

import miqro_sdk as miqro
from miqro_sdk import _registry
from miqro_sdk.testing import TestHost


class Miqro(unittest.TestCase):
    def setUp(self):
        _registry.registry.clear()

    def start(self, kind, **given):
        """Starts a service of this class, and returns it with its host."""
        made = []

        class Seen(kind):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                made.append(self)

        miqro.run(Seen)
        host = TestHost(**given)
        return made[-1], host

    def test_a_constructor_may_ask_the_host(self):
        class Lamp(miqro.Service):
            SERVICE_NAME = "lamp"

            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                for name in self.service_config["lamps"]:
                    self.add_handler(f"{name}/set", lambda service, payload, name=name: service.publish(name, payload))
                self.seen = self.state.get_path("seen", default=0) + 1
                self.state.set_path("seen", value=self.seen)

        lamp, host = self.start(Lamp, name="lamp", config={"lamps": ["kitchen"]}, state={"seen": b"4"})
        host.send("kitchen/set", " on\n")
        self.assertEqual((host.published(), lamp.seen, host.state["seen"]), ([("kitchen", b"on")], 5, b"5"))
        self.assertEqual((lamp.data_topic_prefix, lamp.willtopic), ("service/lamp/", "service/lamp/online"))
        self.assertEqual(lamp.config["services"]["lamp"], {"lamps": ["kitchen"]})

    def test_each_start_makes_a_service_of_its_own(self):
        class Lamp(miqro.Service):
            @miqro.handle("set")
            def set(self, payload):
                self.publish("state", payload)

        miqro.run(Lamp)
        for _ in range(2):
            host = TestHost()
            host.send("set", 1)
            self.assertEqual(host.published(), [("state", b"1")])

    def test_an_instance_runs_as_well(self):
        class Lamp(miqro.Service):
            @miqro.loop(seconds=1)
            def beat(self):
                self.publish("beat", 1)

        Lamp(add_config_file_path="/etc/miqro.yml").run()
        self.assertEqual(TestHost().published(), [("beat", b"1")])

    def test_loops_start_stop_and_change_their_interval(self):
        class Lamp(miqro.Service):
            def __init__(self):
                super().__init__()
                self.off = self.add_loop(miqro.Loop(self.switch_off, timedelta(seconds=5), False))
                self.early = miqro.Loop(self.say("early"), timedelta(seconds=3), start=False)
                self.early.start(delayed=True)
                self.add_loop(self.early)

            def switch_off(self, service):
                service.publish("off", 1)
                return False

            def say(self, topic):
                return lambda service: service.publish(topic, 1)

        lamp, host = self.start(Lamp)
        self.assertEqual((lamp.off.get_remaining(), lamp.off.next_call, str(lamp.off)), (None, None, "Loop(switch_off)"))
        self.assertEqual(lamp.early.get_remaining(), timedelta(seconds=3))
        lamp.off.restart(delayed=True)
        lamp.early.interval = timedelta(seconds=1)
        host.advance(5)
        self.assertEqual(host.published(), [("early", b"1"), ("early", b"1"), ("early", b"1"), ("off", b"1")])

        lamp.early.next_call = datetime.now() + timedelta(seconds=10)
        host.advance(9)
        self.assertEqual(host.published(), [])
        lamp.early.next_call = None
        lamp.add_loop(miqro.Loop(lamp.say("late"), timedelta(0)))
        host.advance(0)
        self.assertEqual(host.published()[0], ("late", b"1"))
        self.assertIsNone(lamp.early.get_remaining())
        with self.assertRaisesRegex(TypeError, "expected a timedelta as interval, found 5"):
            miqro.Loop(lamp.say("never"), 5)

    def test_a_stopped_loop_does_not_go_on_after_a_swap(self):
        class Lamp(miqro.Service):
            def __init__(self):
                super().__init__()
                self.blink = self.add_loop(miqro.Loop(lambda service: service.publish("blink", 1), timedelta(seconds=1), start=False))

        lamp, host = self.start(Lamp)
        lamp.blink.start()
        miqro.WitWorld().start()
        host.advance(5)
        self.assertEqual(host.published(), [])

    def test_handlers_are_added_at_run_time(self):
        service, host = self.start(miqro.Service)
        service.add_handler("own/#", lambda service, payload, rest: service.publish(rest, payload))
        service.add_global_handler("home/door", lambda service, payload: service.publish("door", payload))
        host.send("own/a/b", "x")
        host.send("home/door", "1", global_=True)
        self.assertEqual(host.published(), [("a/b", b"x"), ("door", b"1")])

    def test_global_handlers_get_messages_of_the_own_topics_too(self):
        got = []

        class Own(miqro.Service):
            @miqro.handle_global("service/test/#")
            def everything(self, payload, rest):
                got.append((rest, payload))

            @miqro.handle("set")
            def set(self, payload):
                got.append(payload)

        _, host = self.start(Own)
        host.send("set", b"\xff 1 ")
        self.assertEqual(got, [("set", "\ufffd 1"), "\ufffd 1"])

    def test_messages_without_handler_go_to_handle_message(self):
        got = []

        class Open(miqro.Service):
            def handle_message(self, topic, payload):
                got.append((topic, payload))
                return payload == "known"

        service, host = self.start(Open)
        service.subscribe("other/#")
        host.send("other/one", "known")
        host.send("other/two", "x")
        self.assertEqual(got, [("service/test/other/one", "known"), ("service/test/other/two", "x")])
        self.assertEqual(host.log, [("WARN", "no handler for a message")])

    def test_values_have_the_payloads_of_the_class(self):
        class Words(miqro.Service):
            PAYLOAD_ON, PAYLOAD_OFF = "on", "off"
            JSON_FLOAT_PRECISION = 1

        service, host = self.start(Words)
        service.publish_json_keys({"a": True, "b": {"c": False, "d": 1.25}}, only_if_changed=True)
        service.publish("e", None)
        service.publish("f", {"g": [0.04, True]}, global_=True, qos=service.QOS_AT_LEAST_ONCE)
        expected = [("a", b"on"), ("b/c", b"off"), ("b/d", b"1.2"), ("e", b""), ("f", b'{"g": [0.0, true]}')]
        self.assertEqual(host.published(), expected)
        TestHost()  # the next test has a service with four digits again

    def test_the_log_is_that_of_python(self):
        root = logging.getLogger()
        before, level = list(root.handlers), root.level
        root.handlers.clear()
        try:
            service, host = self.start(miqro.Service)
            service.log.info("%s is %d", "answer", 42)
            try:
                raise ValueError("boom")
            except ValueError as error:
                service.log.exception(error)
            logging.getLogger("library").warning("also here")
            self.assertEqual(host.log, [("INFO", "answer is 42"), ("ERROR", "boom: ValueError: boom"), ("WARN", "also here")])
        finally:
            root.handlers[:] = before
            root.setLevel(level)


class PathState(unittest.TestCase):
    def setUp(self):
        _registry.registry.clear()

    def test_values_of_python_outlive_the_service(self):
        value = {
            "at": datetime(2026, 11, 28, 12, 30, 0, 5), "day": date(2026, 11, 28), "span": timedelta(minutes=1.5), "raw": b"\x00\xff",
            "set": {1, 2}, "pair": (1, "two"), 7: {"deep": [datetime(2026, 1, 1)]}, "$odd": None, "plain": {"a": [1.5, True]},
        }

        class Keeps(miqro.Service):
            @miqro.handle("set")
            def set(self, payload):
                self.state.set_path("a", "b", value=value)
                self.state.save()

        miqro.run(Keeps)
        host = TestHost()
        host.send("set", "")
        TestHost(state=host.state)
        self.assertEqual(Keeps.state.get_path("a", "b", default=None), value)
        self.assertEqual((Keeps.state["a"], "a" in Keeps.state, "c" in Keeps.state), ({"b": value}, True, False))
        self.assertEqual(Keeps.state.get_path("a", "c", default=3), 3)

    def test_each_key_at_the_top_is_one_of_the_host(self):
        class Keeps(miqro.Service):
            @miqro.handle("set")
            def set(self, payload):
                self.state["inputs"]["door"] = payload
                self.state["list"] = []
                self.state["list"].append(1)

        miqro.run(Keeps)
        host = TestHost(state={"inputs": b'{"door": "0", "window": "1"}', "other": b"true"})
        host.send("set", "1")
        expected = {"inputs": b'{"door": "1", "window": "1"}', "list": b"[1]", "other": b"true"}
        self.assertEqual(host.state, expected)

    def test_a_call_that_fails_changes_nothing(self):
        class Fails(miqro.Service):
            @miqro.handle("set")
            def set(self, payload):
                self.state.set_path("count", value=self.state.get_path("count", default=0) + 1)
                if payload == "fail":
                    raise RuntimeError("boom")

        miqro.run(Fails)
        host = TestHost()
        host.send("set", "")
        with self.assertRaises(AssertionError):
            host.send("set", "fail")
        host.send("set", "")
        self.assertEqual(host.state, {"count": b"2"})


if __name__ == "__main__":
    unittest.main()

"""The SDK natively: registration, values, errors, timers. The component is tested by the host's tests."""

import unittest
from datetime import timedelta

import miqro_sdk
from miqro_sdk import _registry, state, timers
from miqro_sdk.testing import TestHost


class Sdk(unittest.TestCase):
    def setUp(self):
        _registry.registry.clear()
        miqro_sdk._convert._precision = None

    def test_handlers_get_the_payload_and_the_matches_of_wildcards(self):
        got = []
        miqro_sdk.handle("lamp/+/#")(lambda payload, *found: got.append((payload, *found)))

        @miqro_sdk.handle("number")
        def number(value: float):
            got.append(value)

        @miqro_sdk.handle("switch")
        def switch(on: bool):
            got.append(on)

        @miqro_sdk.handle("json")
        def json(value: dict):
            got.append(value)

        host = TestHost()
        host.send("lamp/kitchen/set/now", b"\xff")
        host.send("number", "2.5")
        host.send("switch", "on")
        host.send("json", {"a": [1, 2.123456]})
        self.assertEqual(got, [(b"\xff", "kitchen", "set/now"), 2.5, True, {"a": [1, 2.1235]}])

    def test_saved_values_are_encoded_as_payloads_are(self):
        TestHost()
        miqro_sdk.save(lambda: {"count": 3})
        self.assertEqual(miqro_sdk.WitWorld().save(), b'{"count": 3}')

    def test_a_payload_that_cannot_be_read_is_a_warning(self):
        got = []

        @miqro_sdk.handle("number")
        def number(value: int):
            got.append(value)

        host = TestHost()
        for payload in ["nan", "", "1e999", b"\xff"]:
            host.send("number", payload)
        self.assertEqual((got, [level for level, _ in host.log]), ([], ["WARN"] * 4))

    def test_deep_json_is_refused_before_it_overflows_the_stack(self):
        from miqro_sdk._convert import from_json

        self.assertEqual(from_json("[" * 200 + "]" * 200)[0][0][0][:0], [])
        brackets = '["' + "[{" * 5000 + '\\\""]'
        self.assertEqual(from_json(brackets), ["[{" * 5000 + '"'])
        self.assertEqual(from_json("[" + "[]," * 5000 + "[]]")[0], [])
        for deep in ["[" * 10_000, '{"a":' * 201]:
            with self.assertRaisesRegex(ValueError, "at most 200 levels"):
                from_json(deep)

    def test_values_are_converted_as_miqro_does(self):
        values = [b"\x00", "text", 7, 2.123456, True, False, None, {"a": 1.23456}, [1, "x"]]
        expected = [b"\x00", b"text", b"7", b"2.1235", b"1", b"0", b"", b'{"a": 1.2346}', b'[1, "x"]']
        host = TestHost()
        for value in values:
            miqro_sdk.publish("x", value)
        self.assertEqual([payload for _, payload in host.published()], expected)
        miqro_sdk.publish_json("x", "text")
        miqro_sdk.publish_json_keys({"a": 1, "b": {"c": True}}, "top")
        self.assertEqual(host.published(), [("x", b'"text"'), ("top/a", b"1"), ("top/b/c", b"1")])
        for value in [float("nan"), {"a": float("inf")}, object()]:
            with self.assertRaises((ValueError, TypeError)):
                miqro_sdk.publish("x", value)

    def test_loops_run_now_and_in_each_period_until_they_return_false(self):
        left = [3]

        @miqro_sdk.every("1m30s")
        def count():
            left[0] -= 1
            miqro_sdk.publish("left", left[0])
            return left[0] > 0

        host = TestHost()
        self.assertEqual(host.published(), [("left", b"2")])
        host.advance(1000)
        self.assertEqual(host.published(), [("left", b"1"), ("left", b"0")])

    def test_a_loop_may_ask_at_the_start(self):
        @miqro_sdk.connected
        def connected():
            miqro_sdk.publish("connected", 1)

        @miqro_sdk.every("1h")
        def ask():
            miqro_sdk.publish("weather", miqro_sdk.request("oracle", "?").payload)

        host = TestHost(answers={"oracle": b"sunny"})
        self.assertEqual(host.published(), [("connected", b"1"), ("weather", b"sunny")])

    def test_timers_are_named_with_wildcards(self):
        @miqro_sdk.handle("+/on")
        def on(payload, lamp):
            timers.after(f"off/{lamp}", "10s")

        @miqro_sdk.timer("off/+")
        def off(lamp):
            miqro_sdk.publish(lamp, False)

        host = TestHost()
        host.send("kitchen/on", 1)
        self.assertEqual(timers.remaining("off/kitchen"), 10)
        host.advance(9.999)
        self.assertEqual(host.published(), [])
        host.advance(0.001)
        self.assertEqual(host.published(), [("kitchen", b"0")])

    def test_an_exception_becomes_text_with_its_place_and_undoes_the_call(self):
        @miqro_sdk.handle("x")
        def fail(payload):
            state.set("count", 1)
            miqro_sdk.publish("y", 1)
            raise RuntimeError("boom")

        host = TestHost()
        with self.assertRaisesRegex(AssertionError, r"RuntimeError: boom \(test_sdk.py:\d+\)"):
            host.send("x", "")
        self.assertEqual((host.state, host.published()), ({}, []))

    def test_errors_of_the_host_have_its_text(self):
        from miqro_sdk._errors import from_host
        from miqro_sdk.testing import bindings

        error = from_host(bindings.MessagingError_Denied("not granted; write: x"))
        self.assertIsInstance(error, miqro_sdk.Denied)
        self.assertEqual(str(error), "not granted; write: x")

        @miqro_sdk.handle("ask")
        def ask(payload):
            miqro_sdk.request("oracle", payload)

        host = TestHost()
        with self.assertRaisesRegex(AssertionError, "TimedOut: no answer came in time"):
            host.send("ask", "")
        host.answers["oracle"] = b"42"
        host.send("ask", "")

    def test_a_service_of_miqro_needs_another_import_only(self):
        class EchoSvc(miqro_sdk.Service):
            SERVICE_NAME = "original"

            @miqro_sdk.loop(seconds=10)
            def do_something(self):
                self.publish("foo", "bar")
                self.publish_json("foofoo", {"answer": 42.01, "config_demo": self.service_config["custom_value"]})

            @miqro_sdk.handle("echo")
            def echo(self, payload):
                self.publish("echo_response", payload)

        EchoSvc(add_config_file_path="x").run()
        host = TestHost(config={"custom_value": "red"})
        host.send("echo", "hi")
        self.assertEqual(
            host.published(),
            [("foo", b"bar"), ("foofoo", b'{"answer": 42.01, "config_demo": "red"}'), ("echo_response", b"hi")],
        )

    def test_what_services_of_miqro_use_further(self):
        class Alarm(miqro_sdk.Service):
            def __init__(self):
                super().__init__()
                self.delay = self.add_loop(miqro_sdk.Loop(Alarm.alarm, timedelta(seconds=5), start=False))
                self.beat = self.add_loop(miqro_sdk.Loop(Alarm.count, timedelta(minutes=1)))
                self.add_handler("add/#", lambda service, payload, rest: service.publish(rest, payload, True))

            @miqro_sdk.handle_global("home/door")
            def door(self, payload):
                if self.delay.get_remaining() is None:
                    self.delay.start(delayed=True)
                self.publish_json_keys({"door": {"open": payload == "1"}}, only_if_changed=timedelta(seconds=1))

            @miqro_sdk.handle("set")
            @miqro_sdk.accept_json
            def set(self, level, name="none"):
                self.state.set_path("levels", name, value=level)

            def alarm(self):
                self.publish("alarm", self.state.get_path("levels", "high", default=0))
                return False

            def count(self):
                self.state["beats"] = self.state.get_path("beats", default=0) + 1

        miqro_sdk.run(Alarm)
        host = TestHost()
        host.send("set", {"level": 3, "name": "high"})
        host.send("home/door", "1", global_=True)
        self.assertEqual(host.published(), [("door/open", b"1")])
        host.advance(4)
        host.send("home/door", "1", global_=True)
        host.advance(1)
        host.send("add/a/b", "x")
        self.assertEqual(host.published(), [("door/open", b"1"), ("alarm", b"3"), ("a/b", b"x")])
        host.advance(120)
        self.assertEqual((host.published(), Alarm.state["beats"]), ([], 3))

    def test_state_is_json_by_key(self):
        host = TestHost(state={"old": b"[1]"})
        self.assertEqual((state.get("old"), state.get("new", 7)), ([1], 7))
        state.set("new", {"a": 1})
        self.assertEqual((state.keys("n"), host.state["new"]), (["new"], b'{"a": 1}'))
        state.delete("new")
        self.assertIsNone(state.get("new"))

    def test_filters_match_as_mqtt_says(self):
        from miqro_sdk._topics import captures

        for filter, topic, expected in [
            ("a/#", "a", [""]), ("a/#", "a/b/c", ["b/c"]), ("+", "", [""]), ("+/b", "a/b", ["a"]), ("a/+", "a", None),
            ("#", "$SYS/x", None), ("$share/g/a/+", "a/b", ["b"]), ("a", "a/b", None), ("a/b", "a", None),
        ]:
            self.assertEqual(captures(filter, topic), expected, (filter, topic))


if __name__ == "__main__":
    unittest.main()

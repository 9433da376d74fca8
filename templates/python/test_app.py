import unittest

import app
from miqro_sdk.testing import TestHost


class App(unittest.TestCase):
    def test_greeting(self):
        self.assertEqual(app.greeting("hi", 3), {"text": "hi", "count": 3})

    def test_echo(self):
        host = TestHost()
        host.send("echo", "hello")
        greeting, answer = host.published()
        self.assertEqual(greeting[0], "greeting")
        self.assertEqual(answer, ("echo_response", b"hello"))


if __name__ == "__main__":
    unittest.main()

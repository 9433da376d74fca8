import unittest

import app
from miqro_sdk.testing import TestHost


class App(unittest.TestCase):
    def test_greeting(self):
        self.assertEqual(app.greeting("hi", 3), {"text": "hi", "count": 3})

    def test_echo(self):
        host = TestHost()
        host.send("echo", "hello")
        self.assertEqual(host.published(), [("echo_response", b"hello")])


if __name__ == "__main__":
    unittest.main()

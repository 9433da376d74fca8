"""Outgoing HTTP, natively: the addresses, headers and bodies of requests, and the reading of responses."""

import unittest

from miqro_sdk import http
from miqro_sdk.http import exceptions
from miqro_sdk.http._response import Response
from miqro_sdk.testing import TestHost


class Http(unittest.TestCase):
    def answer(self, status=200, body="OK"):
        """Has the host answer each request, and returns the list of them."""
        seen = []
        TestHost(http=lambda request: (seen.append(request), (status, body))[1])
        return seen

    def test_parameters_are_encoded_as_requests_does(self):
        seen = self.answer()
        response = http.get("http://router:8080/cgi-bin/sms send?a=1", params={"text": "Grüße & mehr", "none": None, "n": [1, 2]}, timeout=10)
        [request] = seen
        self.assertEqual(request.url, "http://router:8080/cgi-bin/sms%20send?a=1&text=Gr%C3%BC%C3%9Fe+%26+mehr&n=1&n=2")
        self.assertEqual((request.method, request.headers, request.body, request.limits), ("GET", [], b"", (10, 10)))
        self.assertEqual((response.status_code, response.text, response.url, response.ok), (200, "OK", request.url, True))

        http.get("https://router", params=[("a", "b")], timeout=(1, 2.5))
        http.get("http://router/%41?x=%20", params="y=1 2")
        self.assertEqual([request.url for request in seen[1:]], ["https://router/?a=b", "http://router/%41?x=%20&y=1%202"])
        self.assertEqual(seen[1].limits, (1, 2.5))

    def test_bodies_have_their_type_and_length(self):
        seen = self.answer()
        http.post("http://x/", json={"a": [1]})
        http.post("http://x/", data={"a": "b c"})
        http.put("http://x/", data="ü", headers={"Content-Type": "text/plain", "X-One": "1"})
        http.post("http://x/")
        http.delete("http://x/")
        shown = [(request.method, request.body, dict(request.headers)) for request in seen]
        self.assertEqual(shown, [
            ("POST", b'{"a": [1]}', {"content-type": "application/json", "content-length": "10"}),
            ("POST", b"a=b+c", {"content-type": "application/x-www-form-urlencoded", "content-length": "5"}),
            ("PUT", "ü".encode(), {"content-type": "text/plain", "x-one": "1", "content-length": "2"}),
            ("POST", b"", {"content-length": "0"}),
            ("DELETE", b"", {}),
        ])

    def test_a_login_is_a_header_and_no_part_of_the_address(self):
        seen = self.answer()
        response = http.get("http://anna:s%26cret@router/x")
        http.get("http://router/x", auth=("anna", "s&cret"))
        self.assertEqual([dict(request.headers) for request in seen], [{"authorization": "Basic YW5uYTpzJmNyZXQ="}] * 2)
        self.assertEqual(response.url, "http://router/x")

    def test_an_error_shows_no_query(self):
        self.answer(404)
        response = http.get("http://router/list", params={"password": "secret"})
        self.assertFalse(response)
        with self.assertRaises(exceptions.HTTPError) as raised:
            response.raise_for_status()
        self.assertEqual(str(raised.exception), "http://router/list: status 404")

        TestHost()
        with self.assertRaisesRegex(http.ConnectionError, "^http://router/list: not granted"):
            http.get("http://router/list?password=secret")
        for address in ["ftp://router/x?password=secret", "/list?password=secret"]:
            with self.assertRaisesRegex(http.InvalidURL, "expected an address such as [^?]*$"):
                http.get(address)
        self.assertTrue(issubclass(http.ConnectTimeout, (http.ConnectionError)) and issubclass(http.RequestException, OSError))

    def test_responses_are_read_as_their_headers_say(self):
        def response(kind, body):
            return Response(200, "http://x/?y", [("Content-Type", kind), ("Set-Cookie", b"a"), ("set-cookie", b"b")], body)

        self.assertEqual(response(b"text/html", "Grüezi".encode()).text, "Grüezi")
        self.assertEqual(response(b'text/html; charset="iso-8859-1"', b"Gr\xfcezi").text, "Grüezi")
        self.assertEqual(response(b"text/html; charset=unknown", b"\xff!").text, "\ufffd!")
        self.assertEqual(response(b"application/json", b'{"a": 1}').json(), {"a": 1})
        self.assertEqual(response(b"", b"").headers["SET-Cookie"], "a, b")
        with self.assertRaisesRegex(http.JSONDecodeError, "^http://x/: Expecting value"):
            response(b"", b"x").json()


if __name__ == "__main__":
    unittest.main()

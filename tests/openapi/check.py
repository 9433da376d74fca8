"""Checks an OpenAPI document, and that values fit its schemas: {"document": ..., "values": [[schema, value], ...]} on standard input."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

given = json.load(sys.stdin)
validate(given["document"])
for schema, value in given["values"]:
    whole = {**given["document"], "$ref": f"#/components/schemas/{schema}"}
    Draft202012Validator(whole).validate(value)

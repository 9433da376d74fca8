"""Starts Home Assistant, also with the first release of its version of Python."""

import sys

import homeassistant.const

homeassistant.const.REQUIRED_PYTHON_VER = (3, 13, 0)

from homeassistant.__main__ import main  # noqa: E402

sys.exit(main())

"""Loggers of Python's `logging` whose lines are lines of the host's log."""

import logging
import traceback

from . import log

_LEVELS = [(logging.ERROR, log.error), (logging.WARNING, log.warn), (logging.INFO, log.info), (logging.DEBUG, log.debug)]


class HostHandler(logging.Handler):
    """Hands lines to the host, which leaves out those below the `log_level` of the service."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line, with the exception of the record in it."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += ": " + "; ".join(traceback.format_exception_only(record.exc_info[1])).strip()
            write = next((write for level, write in _LEVELS if record.levelno >= level), log.trace)
            write(text)
        except Exception:
            self.handleError(record)


def logger(name: str) -> logging.Logger:
    """The logger of this name. Where nobody has set `logging` up, every logger writes to the host's log from now on."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(HostHandler())
        root.setLevel(logging.DEBUG)
    return logging.getLogger(name)

"""Log lines as JSON objects, without the texts of requests."""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

NAME = "tellapart.serving"


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, event, and the fields of `log`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "tellapart.serving.logs.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
    },
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in (NAME, "uvicorn")
    },
}
"""For `logging.config.dictConfig`, in each process of a service."""


def log(level: int, event: str, **fields: Any) -> None:
    """Writes a line of a service's log."""
    logging.getLogger(NAME).log(level, event, extra={"fields": fields})


def where_raised(error: BaseException) -> dict[str, Any]:
    """Returns class and places of an exception for the log, without its message, which may quote a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "traceback": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }

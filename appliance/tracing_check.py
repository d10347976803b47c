"""What must be right before traces can be sent: what is installed, and the headers that the collector wants.

Owns: the file of headers.
Refuses to know: how anything is sent (`span_export`).
"""

from __future__ import annotations

import re

from appliance.errors import ConfigurationError
from appliance.packages import HOW_TO_TRACE, TRACING, missing_packages
from appliance.private_files import read_private_lines
from appliance.settings import ROOT
from appliance.tracing_settings import TracingSettings

HEADER = re.compile(r"([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)", re.ASCII)
"""Source: RFC 9110, 5.5 and 5.6.2."""


def check_tracing(settings: TracingSettings) -> None:
    """See that traces could be sent, where they are set; imports nothing.

    Raises:
        ConfigurationError: The extra isn't installed, or the file of headers can't be used.
    """
    if not settings.endpoint:
        return
    if missing := missing_packages(TRACING):
        message = f"tracing.endpoint is set, and {', '.join(missing)} isn't installed: {HOW_TO_TRACE}"
        raise ConfigurationError(message)
    read_headers(settings.headers_file)


def read_headers(name: str) -> dict[str, str]:
    """Read the headers that a collector wants; empty without a file.

    Args:
        name: The file's path, a relative one from the checkout.

    Raises:
        ConfigurationError: The file can't be read, others may read it, or a line is no header. No message
            shows a line.
    """
    if not name:
        return {}
    lines = read_private_lines(ROOT / name, "tracing.headers_file")
    found = [HEADER.fullmatch(line) for line in lines]
    if not all(found) or not found:
        message = "tracing.headers_file: each line must be a header, `Name: value`, of ASCII"
        raise ConfigurationError(message)
    return {each[1]: each[2] for each in found if each}

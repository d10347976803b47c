"""The settings of traces.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and what a trace is (`tracing`).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from appliance.engine_settings import Section

TRACES_PATH = "/v1/traces"
"""Source: OTLP specification, "OTLP/HTTP Request"."""


class TracingSettings(Section):
    """Traces of speech requests, sent to a collector of OpenTelemetry; needs the extra `tracing`."""

    endpoint: str = Field(
        "",
        description="Address that spans are sent to by OTLP over HTTP, such as http://192.168.1.20:4318; "
        f"where it has no path, {TRACES_PATH} is added. Empty for no traces.",
    )
    sample_ratio: float = Field(1.0, ge=0, le=1, description="Share of the requests that are traced.")
    service_name: str = Field(
        "tts-appliance",
        min_length=1,
        max_length=100,
        description="Name of this appliance at the collector (service.name).",
    )
    headers_file: str = Field(
        "", description="File of mode 600 with headers for the collector, one `Name: value` a line."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://host:port or https://host:port")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("may have no user, password, query or fragment; see headers_file")
        if not (parts.port is None or parts.port) or not value.isprintable() or " " in value:
            raise ValueError("has no port, or signs that no address has")
        return value

    def traces_url(self) -> str:
        """Return the address that batches of spans are posted to."""
        has_path = urlsplit(self.endpoint).path not in ("", "/")
        return self.endpoint if has_path else self.endpoint.rstrip("/") + TRACES_PATH

"""The sections of what listens beside HTTP.

Owns: these sections' fields and bounds, and what a list of networks must be.
Refuses to know: where values come from (`settings`), what is spoken on a port.
"""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from appliance.engine_settings import Section


def checked_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks as they are.

    Raises:
        ValueError: One isn't a network.
    """
    for value in values:
        ipaddress.ip_network(value)
    return values


class ExporterSettings(Section):
    """The metrics exporter."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(9464, ge=0, le=65535, description="TCP port; 0 takes a free one.")


class WyomingSettings(Section):
    """The Wyoming server for Home Assistant."""

    enabled: bool = Field(default=True, description="Whether it listens at all.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a LAN appliance)
    port: int = Field(10200, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    announce: bool = Field(
        default=False, description="Whether mDNS tells the network of it; from a container that goes nowhere."
    )
    max_connections: int = Field(
        64, ge=1, le=1024, description="Connections at a time; for one more the longest idle one is ended."
    )
    idle_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Seconds in which a client may send nothing while nothing is spoken.",
    )
    keyless_networks: tuple[str, ...] = Field(
        (), description="Networks that are spoken to although keys are in force; Wyoming can't show any."
    )

    @field_validator("keyless_networks")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(values)

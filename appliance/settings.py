"""The settings of the appliance: one declaration for check, defaults, reference page and errors.

Owns: the sections and their bounds (some lie in modules of their own), reading
`config/appliance.toml` and the `APPLIANCE_<SECTION>_<KEY>` environment over it.
Refuses to know: what the settings are used for; secrets (settings name the files that hold them, and
`secret_settings` has the variables that are no settings).

A relative path counts from the checkout, whatever directory a program was started in.

`docs/settings.md` is generated from here; a test keeps it and `config/appliance.toml` in step.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from appliance.cache_settings import CacheSettings
from appliance.engine_settings import CoquiSettings, Section, ToneSettings, VitsSettings, settings_of
from appliance.errors import ConfigurationError
from appliance.job_settings import JobsSettings
from appliance.network_settings import ExporterSettings, WyomingSettings, checked_networks
from appliance.secret_settings import NO_SETTINGS
from appliance.store_settings import BACKUPS_NAME, DiskSettings, StoreSettings, below_data
from appliance.text_settings import TextSettings
from appliance.tracing_settings import TracingSettings
from appliance.voice_settings import ImporterSettings, VoicesSettings
from appliance.worker_settings import WorkersSettings, checked_silence

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or the image's application folder."""
CONFIG_FILE = ROOT / "config" / "appliance.toml"
PREFIX = "APPLIANCE_"
MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket. Source: unix(7), `sun_path` is 108 bytes with its final NUL."""
LONGEST_SOCKET_NAME = "supervisor.sock.0000000"
"""supervisord binds its socket under a temporary name with its pid first."""
SECRET_NAMES = re.compile(r"(keys?|headers)_file")
"""Settings whose wrong value may be a key in the wrong place, and is never shown."""
KEYS_FOLDER, KEYS_FILE = "keys", "keys.json"
"""Below `data.dir`; a folder of their own, which is the lock of whoever changes them."""
FOR_THE_CONTAINER = ("CONFIG", "LAN_ADDRESS", "LAN_PORT", "PROXY_PREFIX")
"""Behind `PREFIX`, what stands beside the settings in the environment and in `.env`: which settings file
counts, and what docker-compose.yml asks for."""
RENAMED = {"store": {"backup_keep": "backup_daily"}}
"""Section → what a setting was called in an earlier version → what it is called now."""


def _check_socket_path(path: Path) -> None:
    too_many_bytes = len(os.fsencode(path)) - MAX_SOCKET_PATH_BYTES
    if too_many_bytes > 0:
        message = f"too long by {too_many_bytes} bytes for Unix sockets"
        raise ValueError(message)


class HttpSettings(Section):
    """The HTTP gateway."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a LAN appliance)
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    max_input_chars: int = Field(20_000, ge=1, le=1_000_000, description="Characters of text per request.")
    max_body_bytes: int = Field(262_144, ge=1024, le=16_777_216, description="Bytes of a request's body.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names to answer for besides IP literals, undotted, .local, .lan, .home.arpa."
    )
    cors_origins: tuple[str, ...] = Field((), description="Origins whose pages may use the API; * for all.")
    api_keys_file: str = Field(
        "", description="File with one API key per line, beside the keys that ttsctl has created."
    )
    require_key: bool = Field(
        default=False, description="Whether a key is asked for even while there is none for speech."
    )
    wrong_keys_per_min: int = Field(
        10, ge=1, le=10_000, description="Wrong keys from one address in a minute; more get 429."
    )
    public_lists: bool = Field(
        default=True, description="Whether voices and models are listed without a key (Open WebUI asks so)."
    )
    trusted_proxies: tuple[str, ...] = Field((), description="Networks whose X-Forwarded-For is believed.")
    proxy_socket: str = Field(
        "", description="Unix socket for a reverse proxy, whose X-Forwarded-For is believed; empty for none."
    )
    proxy_socket_group: str = Field(
        "", description="Group whose members may connect to proxy_socket; empty for nobody but this user."
    )
    head_limit_s: float = Field(5.0, ge=0.5, le=600, description="Seconds a request's head may take.")
    body_limit_s: float = Field(
        10.0,
        ge=0.5,
        le=600,
        description="Seconds a body may take, from its head on, and one more for each 64 KiB that come.",
    )
    write_limit_s: float = Field(
        30.0, ge=0.5, le=3600, description="Seconds a client may take no byte of an answer."
    )
    stream_idle_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Seconds a WebSocket of `/v1/audio/stream` may say nothing while nothing is spoken.",
    )
    max_open_heads: int = Field(
        32, ge=1, le=100_000, description="Unfinished heads per client address; trusted proxies are exempt."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(values)

    @field_validator("proxy_socket")
    @classmethod
    def _short_enough(cls, value: str) -> str:
        _check_socket_path(ROOT / value)
        return value

    def proxy_socket_path(self) -> Path | None:
        """Return the Unix socket for a reverse proxy, or None."""
        return ROOT / self.proxy_socket if self.proxy_socket else None


class AdminSettings(Section):
    """Who may use the admin paths."""

    networks: tuple[str, ...] = Field(
        ("192.168.1.0/24", "127.0.0.0/8", "::1/128"), description="Networks that reach the admin paths."
    )
    key_file: str = Field(
        "", description="File with the admin key; without any admin key only run/gateway.sock has the paths."
    )

    @field_validator("networks")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(values)


class DispatchSettings(Section):
    """Who is served when, and who is refused."""

    cores: int = Field(0, ge=0, le=1024, description="Run grants; 0 takes the CPU quota of this machine.")
    first_audio_target_s: float = Field(0.5, gt=0, le=60, description="Seconds a first sound should take.")
    first_audio_limit_s: float = Field(
        0.3, gt=0, le=600, description="Seconds others' work may keep a first sound waiting, at least."
    )
    outage_limit_s: float = Field(
        5.0, gt=0, le=600, description="Seconds a request waits for an engine that has no worker."
    )
    client_rate_per_min: int = Field(
        0, ge=0, le=1_000_000, description="Requests one client may make in a minute; 0 for any number."
    )
    client_burst: int = Field(
        64, ge=1, le=10_000, description="Requests one client may make at once, where there is such a rate."
    )
    client_backlog: int = Field(64, ge=1, le=10_000, description="Requests one client may have waiting.")
    ahead_s: float = Field(5.0, gt=0, le=600, description="Seconds of unsent audio that pause a request.")
    ageing_s: float = Field(10.0, gt=0, le=3600, description="Seconds after which a waiting job moves up.")
    drain_s: float = Field(30.0, ge=0, le=600, description="Seconds that running requests have at a stop.")


class HealthSettings(Section):
    """The probe behind /health/tts."""

    probe_interval_s: float = Field(15.0, ge=1, le=3600, description="Seconds between two probes.")


class WatchdogSettings(Section):
    """When a program counts as hung or failing, and when the appliance gives up."""

    heartbeat_s: float = Field(
        1.0, ge=0.05, le=10, description="Seconds between two heartbeats of the gateway and the exporter."
    )
    silence_s: float = Field(
        5.0,
        ge=0,
        le=600,
        description="Seconds without heartbeat that mean hung; two heartbeats or more, 0 never.",
    )
    start_s: float = Field(
        30.0,
        ge=0,
        le=600,
        description="Seconds that the gateway and the exporter have from their start until they are ready; "
        "then they count as hung. 0 any.",
    )
    early_s: float = Field(
        10.0, ge=0, le=600, description="Seconds from a start in which an end is an early death; 0 none."
    )
    no_engine_s: float = Field(
        60.0, ge=0, le=86_400, description="Seconds without any engine that end the appliance; 0 never."
    )

    @field_validator("silence_s")
    @classmethod
    def _spans_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        return checked_silence("watchdog", value, info) if value else value


class LogSettings(Section):
    """What is written to the log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level written.")
    ledger_file: str = Field(
        "", description="File, below data.dir, that gets a line for every accepted request; empty for none."
    )

    @field_validator("ledger_file")
    @classmethod
    def _below_data(cls, value: str) -> str:
        return below_data(value) if value else value


class RunSettings(Section):
    """Where sockets and process state live."""

    dir: Path = Field(ROOT / "run", description="Folder of sockets and process state; a short path.")

    @field_validator("dir")
    @classmethod
    def _short_enough(cls, value: Path) -> Path:
        _check_socket_path(ROOT / value / LONGEST_SOCKET_NAME)
        return ROOT / value


class DataSettings(Section):
    """Where lasting data lives."""

    dir: Path = Field(ROOT / "data", description="Folder of lasting data.")

    @field_validator("dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return ROOT / value


class Settings(Section):
    """Everything that can be set."""

    http: HttpSettings = HttpSettings()
    admin: AdminSettings = AdminSettings()
    workers: WorkersSettings = WorkersSettings()
    tone: ToneSettings = ToneSettings()
    vits: VitsSettings = VitsSettings()
    coqui: CoquiSettings = CoquiSettings()
    dispatch: DispatchSettings = DispatchSettings()
    voices: VoicesSettings = VoicesSettings()
    importer: ImporterSettings = ImporterSettings()
    text: TextSettings = TextSettings()
    health: HealthSettings = HealthSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    exporter: ExporterSettings = ExporterSettings()
    store: StoreSettings = StoreSettings()
    disk: DiskSettings = DiskSettings()
    jobs: JobsSettings = JobsSettings()
    cache: CacheSettings = CacheSettings()
    wyoming: WyomingSettings = WyomingSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    run: RunSettings = RunSettings()
    data: DataSettings = DataSettings()

    def pool_sizes(self) -> dict[str, int]:
        """Return the number of workers of each engine that has any."""
        return self.workers.pool_sizes()

    def ledger_path(self) -> Path | None:
        """Return the file that gets a line for every accepted request, or None."""
        return self.data.dir / self.log.ledger_file if self.log.ledger_file else None

    def warm_path(self) -> Path | None:
        """Return the file of what is to be spoken ahead, or None."""
        return self.config_dir() / self.cache.warm_file if self.cache.warm_file else None

    def store_path(self) -> Path:
        """Return the database's file."""
        return self.data.dir / self.store.file

    def keys_path(self) -> Path:
        """Return the file of the keys that ttsctl has created."""
        return self.data.dir / KEYS_FOLDER / KEYS_FILE

    def backups_path(self) -> Path:
        """Return the folder of the database's backups."""
        return self.store_path().parent / BACKUPS_NAME

    def config_file(self) -> Path:
        """Return the settings file in force."""
        return ROOT / os.environ.get(f"{PREFIX}CONFIG", CONFIG_FILE)

    def config_dir(self) -> Path:
        """Return its folder, where its neighbours are looked up."""
        return self.config_file().parent


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings file and the environment over it.

    Args:
        environ: The environment; None takes the process's own.

    Raises:
        ConfigurationError: The file can't be read, or a setting is unknown or out of bounds. The message is
            one line with the setting, the value and the bound.
    """
    environ = os.environ if environ is None else environ
    path = ROOT / environ.get(f"{PREFIX}CONFIG", CONFIG_FILE)
    values = _read_file(path)
    _overlay(values, environ)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_one_line(error, path, environ)) from None
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return _renamed(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        message = f"{path}: can't be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: isn't TOML: {error}"
    raise ConfigurationError(message)


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Call settings of an earlier version what they are called now, unless the new name is there, too."""
    for section, names in RENAMED.items():
        table = values.get(section)
        for old, new in names.items():
            if isinstance(table, dict) and old in table and new not in table:
                table[new] = table.pop(old)
    return values


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put `APPLIANCE_<SECTION>_<KEY>` over the file's values; lists are written with commas."""
    for name, text in environ.items():
        section, _, key = name.removeprefix(PREFIX).lower().partition("_")
        is_for_others = name in NO_SETTINGS or name.removeprefix(PREFIX) in FOR_THE_CONTAINER
        if not name.startswith(PREFIX) or is_for_others:
            continue
        field = Settings.model_fields.get(section)
        keys = {} if field is None else settings_of(type(field.default))
        key = RENAMED.get(section, {}).get(key, key)
        if key not in keys:
            message = f"{name}: no such setting; docs/settings.md lists them"
            raise ConfigurationError(message)
        is_list = "tuple" in str(keys[key].annotation)
        parsed: Any = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
        table = values.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = parsed


def _one_line(error: ValidationError, path: Path, environ: Mapping[str, str]) -> str:
    """Name every wrong setting with its value, its bound and where it was set, in one line."""
    in_file, in_environment = [], []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        variable = PREFIX + "_".join(str(part) for part in detail["loc"][:2]).upper()
        bound = detail["msg"].removeprefix("Value error, ")
        wrong = place if SECRET_NAMES.search(place) else f"{place} = {detail['input']!r}"
        if detail["type"] == "extra_forbidden":
            in_file.append(f"{place}: no such setting")
        elif variable in environ:
            in_environment.append(f"{variable}: {wrong}: {bound}")
        else:
            in_file.append(f"{wrong}: {bound}")
    found = in_environment + ([f"{path}: {'; '.join(in_file)}"] if in_file else [])
    return f"{'; '.join(found)} (docs/settings.md)"

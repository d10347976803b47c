"""Appliances as `ttsctl doctor` may find them, made of what is known of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.pools import Facts, Pool, plan_pools
from appliance.settings import Settings, load_settings
from processes.ttsctl.patient import Patient

NOWHERE = Path("/nowhere/run")
FACTS = Facts(cores=2, memory_bytes=None, voiced=frozenset(), missing={})


def planned(**workers: int) -> tuple[Pool, ...]:
    return plan_pools(Settings.model_validate({"workers": workers}), FACTS).pools


def patient(**known: Any) -> Patient:
    """A patient with the default settings, of which this is known."""
    usual = {"run_dir": NOWHERE, "settings": load_settings({}), "planned": planned()}
    return Patient(**{**usual, **known})


def set_to(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(sections)


def programs(**states: str) -> list[dict[str, object]]:
    return [{"name": name, "statename": state, "pid": 0} for name, state in states.items()]


def status(engine_states: list[tuple[str, str]], **fields: object) -> dict[str, object]:
    """GET /admin/status with a worker for each engine and state."""
    slots: dict[str, int] = {}
    workers = []
    for engine, state in engine_states:
        slots[engine] = slots.get(engine, 0) + 1
        name = f"worker-{engine}-{slots[engine]}"
        workers.append({"name": name, "engine": engine, "state": state, "last_loss": None})
    usual = {
        "status": "ok",
        "version": "0.1.0",
        "uptime_s": 100.0,
        "queue": {"waiting": 0, "expected_wait_s": 0.0},
        "requests": {"in_flight": 0, "finished": {"failed": 0, "expired": 0}},
        "latency": {"samples": 0, "ttfa_p90_s": None},
        "success_ratio": None,
    }
    return {**usual, "workers": workers, **fields}


def lived(uptime_s: float, *, said_s: float) -> dict[str, object]:
    """Fields of a status: when the gateway was started by the wall clock, and how long ago it says."""
    since = datetime.now(UTC) - timedelta(seconds=uptime_s)
    return {"since": since.isoformat(timespec="seconds"), "uptime_s": said_s}

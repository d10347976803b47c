"""`ttsctl drain`, `ttsctl maintenance`: finish what runs and refuse what is new, or take work again.

Owns: the questions and their answers. Refuses to know: how the gateway refuses, and what outlasts a restart.
"""

from __future__ import annotations

import argparse
from typing import Any

from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import find_run_dir

KEYS = {"drain": "draining", "maintenance": "maintenance"}
"""Verb → what `/admin/status` calls its state."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Switch it on or off if asked to, then say how it stands; doesn't wait for the end of the work."""
    run_dir, verb = find_run_dir(arguments.run_dir), arguments.verb
    key = KEYS[verb]
    if arguments.switch == "status":
        status = ask_json(run_dir, "GET", "/admin/status")
        state = {key: status[key], "in_flight": status["requests"]["in_flight"]}
    else:
        wanted: dict[str, Any] = {"on": arguments.switch == "on"}
        if verb == "maintenance" and arguments.message is not None:
            wanted["message"] = arguments.message
        state = ask_json(run_dir, "POST", f"/admin/{verb}", wanted)
    if arguments.json:
        print_json(state)
    else:
        print(f"{key}: {_described(state[key])}, {state['in_flight']} requests in flight")
    return ExitCode.OK


def _described(state: object) -> str:
    """Say whether it is on; of maintenance also since when, and with which message."""
    if not isinstance(state, dict):
        return "yes" if state else "no"
    return f"yes, since {state['since']}" + (f" ({state['message']})" if state["message"] else "")

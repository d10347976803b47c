"""`ttsctl drain`: finish what runs and refuse what is new, or take work again.

Owns: the question and its answer. Refuses to know: how the gateway drains.
"""

from __future__ import annotations

import argparse

from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import find_run_dir


def run(arguments: argparse.Namespace) -> ExitCode:
    """Switch draining on or off if asked to, then say how it stands; doesn't wait for the end of the work."""
    run_dir = find_run_dir(arguments.run_dir)
    if arguments.switch == "status":
        status = ask_json(run_dir, "GET", "/admin/status")
        state = {"draining": status["draining"], "in_flight": status["requests"]["in_flight"]}
    else:
        state = ask_json(run_dir, "POST", "/admin/drain", {"on": arguments.switch == "on"})
    if arguments.json:
        print_json(state)
    else:
        print(f"draining: {'yes' if state['draining'] else 'no'}, {state['in_flight']} requests in flight")
    return ExitCode.OK

"""The watchdog's command: `python -m processes.watchdog`, started by supervisord as an event listener.

Owns: the order of starting, the exit code.
Refuses to know: the loop (`watch`).
"""

from __future__ import annotations

import contextlib
import signal
import sys

from appliance.errors import ConfigurationError
from appliance.lifecycle import EXIT_CONFIG, EXIT_OK
from appliance.logs import configure_logging
from appliance.settings import load_settings
from appliance.watched import BeatFile
from processes.watchdog.notifications import NotificationSocket
from processes.watchdog.watch import Watch


def main() -> int:
    """Watch until SIGTERM or the end of supervisord; return the exit code."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(EXIT_OK))
    try:
        settings = load_settings()
        configure_logging("watchdog", settings.log.level)
        with (
            contextlib.closing(NotificationSocket(settings.run.dir)) as notifications,
            contextlib.closing(BeatFile(settings.run.dir)) as beat_file,
        ):
            Watch(settings, notifications, beat_file).run()
    except ConfigurationError as error:
        print("configuration:", error.message, file=sys.stderr)
        return EXIT_CONFIG
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

"""A process that writes to a database as the gateway does, for tests that kill it: `PATH` in its arguments.

It prints the token of each run once its commit has returned.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from appliance.store.database import Database
from appliance.store.opening import StoreLock, prepare


async def write(path: Path, first: int) -> None:
    lock = StoreLock(path)
    opened = prepare(path)
    assert opened.state == "ok", opened
    database = await Database.open(path)
    for token in itertools.count(first):
        async with database.transaction() as transaction:
            await transaction.execute("begin_run", {"started_at": 0.0, "token": token})
        sys.stdout.write(f"{token}\n")
        sys.stdout.flush()
    lock.release()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))

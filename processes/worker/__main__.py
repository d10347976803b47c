"""The worker's command: `python -m processes.worker --engine espeak --slot 1`.

Owns: the command line, the order of starting, the exit codes, connecting again when the gateway went away.
Refuses to know: what is said over a connection (`session`).
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

from loguru import logger

from appliance.engines import ENGINES, create_engine
from appliance.engines.base import Engine
from appliance.errors import ConfigurationError, EngineFailedError, ProtocolError
from appliance.ipc.blocking_channel import BlockingChannel
from appliance.lifecycle import EXIT_CONFIG, EXIT_OK, WORKERS_SOCKET
from appliance.logs import LineWriter, configure_logging
from appliance.settings import Settings, load_settings
from appliance.voice_store import VoiceStore
from processes.worker.connection import Patience, connect_to_gateway
from processes.worker.containment import contain_process
from processes.worker.session import Ending, Session
from processes.worker.stop_signal import StopSignal

GIVE_UP_S = 30.0
"""Seconds without a gateway after which a worker ends, so that supervisord sees and reports it."""
STEADY_S = 1.0
"""A gateway that hangs up sooner, without having had anything spoken, counts as none."""


class ExitCode(IntEnum):
    """Why a worker ended. Source for 69, 70 and 75: sysexits.h."""

    OK = EXIT_OK
    """Drained or stopped by SIGTERM."""
    NOT_WARM_IN_TIME = 1
    """The engine took longer than `workers.warm_up_s`. Source: faulthandler's dump_traceback_later."""
    GATEWAY_GONE = 69
    """No gateway listened, or kept the connection, for `GIVE_UP_S`."""
    ENGINE_FAILED = 70
    """The engine didn't get warm on this machine."""
    STUCK = 75
    """The gateway went away, and the engine didn't come back from what it spoke."""
    BAD_CONFIGURATION = EXIT_CONFIG
    """A setting or an argument is wrong."""


def main() -> int:
    """Run a worker until it is drained, stopped or given up; return its exit code."""
    arguments = _parse_arguments()
    name = _program_name(arguments)
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return ExitCode.BAD_CONFIGURATION
    contain_process()
    stop = StopSignal()
    log = configure_logging(name, settings.log.level)
    started_s = time.monotonic()
    store_mark = VoiceStore(settings.data.dir).change_mark()  # first: a voice that comes meanwhile is new
    try:
        engine = _warm_engine(arguments.engine, settings)
    except EngineFailedError as error:
        logger.error("engine_not_warm", worker=name, message=error.message)
        return ExitCode.ENGINE_FAILED
    logger.info("engine_warm", worker=name, warm_up_s=round(time.monotonic() - started_s, 3))
    begin = functools.partial(Session, name, engine, stop=stop, store_mark=store_mark)
    with closing(engine):
        return _serve_gateways(arguments, begin, settings, stop, log)


def _warm_engine(name: str, settings: Settings) -> Engine:
    """Make an engine and warm it up; end this process with its stack if that takes too long.

    Nobody else would: it hasn't connected yet, and to supervisord it runs. The interpreter's timer does it,
    which needs neither the lock nor a thread of Python; its exit code is 1.

    Raises:
        EngineFailedError: It doesn't get warm on this machine.
    """
    faulthandler.dump_traceback_later(settings.workers.warm_up_s, exit=True)
    try:
        engine = create_engine(name, settings)
        engine.warm_up()
        return engine
    finally:
        faulthandler.cancel_dump_traceback_later()


def _serve_gateways(
    arguments: argparse.Namespace,
    begin: Callable[[BlockingChannel], Session],
    settings: Settings,
    stop: StopSignal,
    log: LineWriter,
) -> ExitCode:
    """Serve one connection after the other with the engine warm all the time."""
    path: Path = settings.run.dir / WORKERS_SOCKET
    name = _program_name(arguments)
    patience = Patience(arguments.give_up_s)
    workers = settings.workers
    leave_s = workers.cancel_s + workers.least_progress_s(arguments.engine)  # as a gateway would give
    on_stuck = functools.partial(_end_stuck, name, leave_s, log)
    while (channel := connect_to_gateway(path, patience, stop)) is not None:
        session = begin(channel)
        begun_s = time.monotonic()
        with closing(channel):
            try:
                ending = session.serve(workers.heartbeat_s, leave_s, on_stuck)
            except EOFError:
                logger.info("gateway_left", worker=name)  # if it crashed, supervisord warns of that
            except ProtocolError as error:
                # The error's message could quote the frame.
                logger.error("protocol_error", worker=name, code=error.code)
            else:
                logger.info("worker_ends", worker=name, reason=ending.name.lower())
                return ExitCode.OK
        if session.utterances or time.monotonic() - begun_s >= STEADY_S:
            patience.renew()
        if not patience.pause(stop):
            break
    if stop.is_set:
        logger.info("worker_ends", worker=name, reason=Ending.STOPPED.name.lower())
        return ExitCode.OK
    logger.error("gateway_gone", worker=name, waited_s=arguments.give_up_s)
    return ExitCode.GATEWAY_GONE


def _end_stuck(name: str, waited_s: float, log: LineWriter) -> NoReturn:
    """End this process from a thread, with the stack of the engine that hangs; no gateway has it in sight."""
    logger.error("worker_stuck", worker=name, waited_s=waited_s)
    log.close()
    faulthandler.dump_traceback(all_threads=True)
    os._exit(ExitCode.STUCK)


def _program_name(arguments: argparse.Namespace) -> str:
    return f"worker-{arguments.engine}-{arguments.slot}"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tts-worker", description="Speak utterances for the gateway.")
    parser.add_argument("--engine", required=True, choices=ENGINES, help="the engine to keep warm")
    parser.add_argument(
        "--slot", required=True, type=int, help="number of this worker within its pool, from 1"
    )
    parser.add_argument(
        "--give-up-s",
        type=float,
        default=GIVE_UP_S,
        help="seconds without a gateway after which to end (default: %(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""The statistics file (`scale_stats.npy`) that some of Coqui's older models normalise spectra with.

Owns: reading one without running what it may hold, and writing it anew.
Refuses to know: what the numbers mean.

Such a file is a pickled dictionary of arrays, and a pickle can hold any code. Coqui loads it as it is, so
only files that were written here ever reach it.
Source: AudioProcessor.load_stats in TTS/utils/audio/processor.py; numpy.lib.format.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from appliance.errors import CheckpointBrokenError, CheckpointUnsafeError, ModelTooLargeError

MAX_STATISTICS_BYTES = 1_048_576
"""A larger file isn't read; four lines of at most 2,049 numbers take 0.04 MB."""
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.multiarray", function)
        for core in ("core", "_core")
        for function in ("_reconstruct", "scalar")
    ),
}
"""What numpy itself needs to rebuild arrays and numbers."""


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds arrays, numbers, texts and dictionaries, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise CheckpointUnsafeError(f"The model's statistics hold {module}.{name}"[:120])
        return super().find_class(module, name)


def copy_statistics(source: Path, target: Path) -> None:
    """Read a statistics file and write what it says to a new one. Blocks on the disk.

    Raises:
        CheckpointUnsafeError: It holds anything but arrays and plain values.
        CheckpointBrokenError: It is truncated, or no such file.
        ModelTooLargeError: It is larger than `MAX_STATISTICS_BYTES`.
    """
    try:
        if source.stat().st_size > MAX_STATISTICS_BYTES:
            raise ModelTooLargeError(f"{source.name} is larger than {MAX_STATISTICS_BYTES} bytes")
        with source.open("rb") as file:
            statistics = _read(file)
    except OSError as error:
        raise CheckpointBrokenError(f"{source.name} can't be read: {error.strerror}") from None
    except (ValueError, EOFError, TypeError, AttributeError, LookupError, pickle.UnpicklingError):
        raise CheckpointBrokenError(f"{source.name} is truncated or damaged") from None
    np.save(target, np.array(statistics, dtype=object), allow_pickle=True)


def _read(file: BinaryIO) -> dict[str, Any]:
    """Return the dictionary behind numpy's header, which says: one object."""
    np.lib.format.read_magic(file)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    if shape != () or not kind.hasobject:
        raise ValueError("no single object")
    statistics = _ArraysOnly(file).load().item()
    if not isinstance(statistics, dict):
        raise TypeError("no dictionary")
    return statistics

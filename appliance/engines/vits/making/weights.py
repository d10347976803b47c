"""Reads a file that torch has saved, as data only.

Owns: what is accepted as such a file: its size, its packing, no code in it.
Refuses to know: which tensors ought to be in it.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from appliance.errors import (
    CheckpointBrokenError,
    CheckpointForeignError,
    CheckpointUnsafeError,
    ModelTooLargeError,
)

MAX_CHECKPOINT_BYTES = 3_221_225_472
"""A VITS checkpoint with discriminator and optimiser has up to 1 GB."""


def read_weights(path: Path) -> dict[str, Any]:
    """Read a file that torch has saved, as data only: no code in it is ever run.

    Weights are mapped from the file, not copied, where its format allows.

    Raises:
        CheckpointBrokenError: It is truncated, damaged or no such file.
        CheckpointUnsafeError: It holds pickled code or classes.
        CheckpointForeignError: It holds something else than a dictionary.
        ModelTooLargeError: It is larger than the bounds, or would become so when unpacked.
    """
    try:
        size_bytes = path.stat().st_size
        is_zip = zipfile.is_zipfile(path)
        if size_bytes > MAX_CHECKPOINT_BYTES:
            raise ModelTooLargeError(f"{path.name} is larger than {MAX_CHECKPOINT_BYTES} bytes")
        if is_zip:
            _check_archive(path, size_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that it doesn't promise to read
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from None
    except OSError as error:
        raise CheckpointBrokenError(f"{path.name} can't be read: {error.strerror or error}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        raise CheckpointBrokenError(f"{path.name} is truncated or damaged") from None
    if not isinstance(content, dict):
        raise CheckpointForeignError(f"{path.name} doesn't hold a dictionary")
    return content


def _check_archive(path: Path, size_bytes: int) -> None:
    """Refuse an archive that would unpack to more than it is. torch itself stores without compression."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelTooLargeError(f"{path.name} holds compressed parts, which torch never writes")
    if sum(entry.file_size for entry in entries) > size_bytes:
        raise ModelTooLargeError(f"{path.name} would unpack to more than it is")


def _unpickling_error(path: Path, said: str) -> CheckpointBrokenError | CheckpointUnsafeError:
    if "Unsupported global" in said or "Unsupported class" in said:
        return CheckpointUnsafeError(f"{path.name} holds pickled code or classes, which are never loaded")
    return CheckpointBrokenError(f"{path.name} is truncated or damaged")

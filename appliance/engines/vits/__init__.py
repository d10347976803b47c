"""Coqui's VITS voices, spoken without torch."""

import os

# Read when onnxruntime is imported, which nothing but this package does. Without it the library starts a
# thread that tells its maker over the network how it is used. Source: Privacy.md of onnxruntime 1.32.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

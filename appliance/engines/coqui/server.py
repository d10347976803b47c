"""Coqui's own tts-server, to hold the appliance against: `python -m appliance.engines.coqui.server …`.

Owns: starting it with one thread and the stand-ins for what can't be imported on a machine without a GPU.
Refuses to know: what it is asked; its command line is Coqui's.
"""

from __future__ import annotations

from appliance.engines.coqui.library import import_coqui


def main() -> None:
    """Be tts-server.

    Raises:
        EngineFailedError: torch or Coqui isn't installed.
    """
    import_coqui()
    import torch
    from TTS.server.server import main as serve

    torch.set_num_threads(1)
    serve()


if __name__ == "__main__":
    main()

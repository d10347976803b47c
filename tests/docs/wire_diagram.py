"""diagrams/what-is-on-the-wire.puml, made of the wire frames and of the programs that send them."""

from __future__ import annotations

import ast
import json

from appliance.ipc import messages
from appliance.ipc.frames import HEADER, MAGIC, MAX_META_BYTES, MAX_PAYLOAD_BYTES, VERSION, Kind
from appliance.speech import PcmChunk, Randomness, SpokenText, Utterance, WordMark
from tests.docs.checkout import ROOT, parse

UTTERANCE = Utterance(
    index=0,
    start_char=0,
    end_char=1,
    spoken=SpokenText("a"),
    engine="",
    engine_voice="",
    randomness=Randomness(seed=1, noise_scale=0.5, noise_scale_w=0.5),
)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WINDOWS = ((0.0, 1.0),)
EXAMPLES: tuple[messages.Message, ...] = (
    messages.Hello("", "", "", 1, 0, 1),
    messages.Synthesize(1, UTTERANCE, TRACEPARENT),
    messages.Audio(1, PcmChunk(b"\0\0", 1, (WordMark(0, 1, 0.0),))),
    messages.Done(1, 0.0, 0, windows=WINDOWS),
    messages.Failed(1, "", "", 0, WINDOWS),
    messages.Cancel(1),
    messages.Grant(1),
    messages.Heartbeat(0),
    messages.Drain(),
)
"""A message of each kind, with every field that it can have."""
WORDS_OF_A_LINE = 4
KIB = 1024


def senders() -> dict[str, set[str]]:
    """Which of the two programs makes messages of a kind."""
    found: dict[str, set[str]] = {kind.name: set() for kind in Kind}
    for program in ("gateway", "worker"):
        for path in sorted((ROOT / "processes" / program).glob("*.py")):
            for name in _made_in(parse(path)):
                found[name.removesuffix("_pages").upper()].add(program)
    return found


def diagram() -> str:
    """The text of the diagram."""
    return (
        "@startuml\n"
        "' Written by `make docs` from appliance/ipc and the programs that use it.\n"
        "title All that passes between the gateway and a worker is wire frames, which begin alike.\n"
        "hide circle\n"
        "hide empty members\n"
        "left to right direction\n"
        'class "wire frame" as frame {\n'
        f'  magic "{MAGIC.decode()}", version {VERSION}, kind: 4 bytes\n'
        f"  length of meta: 4 bytes, <= {MAX_META_BYTES // KIB} KiB\n"
        f"  length of payload: 4 bytes, <= {MAX_PAYLOAD_BYTES // KIB} KiB\n"
        "  utterance id: 8 bytes\n"
        f"  -- after {HEADER.size} bytes, big-endian --\n"
        "  meta: JSON\n"
        "  payload: raw PCM\n"
        "}\n" + "".join(_kind(example) for example in EXAMPLES) + "@enduml\n"
    )


def _kind(example: messages.Message) -> str:
    frame = messages.to_frame(example)
    name = frame.kind.name
    fields = list(json.loads(frame.meta or b"{}"))
    lines = [fields[at : at + WORDS_OF_A_LINE] for at in range(0, len(fields), WORDS_OF_A_LINE)]
    meta = "".join(f"  {', '.join(line)}\n" for line in lines)
    payload = "  payload: PCM, 16 bit little-endian, mono\n" if frame.payload else ""
    arrow = {"gateway": "to the worker", "worker": "to the gateway"}
    way = " and ".join(arrow[program] for program in sorted(senders()[name]))
    return f"class {name} {{\n  .. {frame.kind.value}: {way} ..\n{meta}{payload}}}\nframe -- {name}\n"


def _made_in(module: ast.Module) -> set[str]:
    """What a module takes from `appliance.ipc.messages` and calls, if that makes a message."""
    taken = {
        alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == messages.__name__
        for alias in node.names
    }
    called = {
        node.func.id
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    makers = {kind.name.title() for kind in Kind} | {"hello_pages"}
    return taken & called & makers

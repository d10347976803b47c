"""Writes the corpus of wire frames anew: `python -m tests.wire.generate`.

Each `NNN.bin` holds the bytes of a stream as a peer could send them, and the `NNN.json` beside it says what
it is and what the decoder makes of it: in `valid/` the frames, in `invalid/` the error's code. The bytes are
put together here by hand, without the encoder under test, so that they pin the format down.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
KINDS = {
    "HELLO": 1,
    "SYNTHESIZE": 2,
    "AUDIO": 3,
    "DONE": 4,
    "FAILED": 5,
    "CANCEL": 6,
    "GRANT": 7,
    "HEARTBEAT": 8,
    "DRAIN": 9,
}


def header(
    kind: int,
    meta_bytes: int = 0,
    payload_bytes: int = 0,
    utterance_id: int = 0,
    magic: bytes = b"TS",
    version: int = 1,
) -> bytes:
    return magic + struct.pack(">BBIIQ", version, kind, meta_bytes, payload_bytes, utterance_id)


def frame(name: str, utterance_id: int = 0, meta: str = "", payload: bytes = b"") -> dict[str, Any]:
    return {"kind": name, "utterance_id": utterance_id, "meta": meta, "payload_hex": payload.hex()}


def encoded(values: dict[str, Any]) -> bytes:
    meta: bytes
    meta, payload = values["meta"].encode(), bytes.fromhex(values["payload_hex"])
    return header(KINDS[values["kind"]], len(meta), len(payload), values["utterance_id"]) + meta + payload


VOICE = (
    '{"id":"en-us","name":"English (America)","engine":"espeak","engine_voice":"gmw/en-US",'
    '"languages":["en-us","en"],"gender":"male","sample_rate_hz":22050,"min_speed":0.48,"max_speed":4.0}'
)
VARIANT = '{"id":"f3","name":"female3","engine":"espeak","gender":"female"}'
HELLO = frame(
    "HELLO",
    0,
    '{"worker":"worker-espeak-1","engine":"espeak","engine_version":"1.52.0","pid":4242,"page":0,"pages":1,'
    f'"voices":[{VOICE}],"variants":[{VARIANT}],"store_mark":"1764410000000000000","is_on_cpu":true}}',
)
HELLO_ON_GPU = frame("HELLO", 0, HELLO["meta"].replace('"is_on_cpu":true', '"is_on_cpu":false'))
SYNTHESIZE = frame(
    "SYNTHESIZE",
    7,
    '{"index":0,"text":"Zażółć 🎉","engine":"espeak","voice":"zlw/pl","speed":1.0,"pitch":1.0,"volume":1.0,'
    '"is_ssml":false,"early":true,"marks":true}',
)
RANDOM = frame(
    "SYNTHESIZE",
    7,
    SYNTHESIZE["meta"].removesuffix("}")
    + ',"seed":18446744073709551615,"noise_scale":0.667,"noise_scale_w":1.0}',
)
TRACED = frame(
    "SYNTHESIZE",
    7,
    SYNTHESIZE["meta"].removesuffix("}")
    + ',"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}',
)
AUDIO = frame(
    "AUDIO", 7, '{"rate":22050,"last":false,"window":true,"marks":[[0,6,0.0],[7,8,0.5]]}', b"\x01\x00\xff\x7f"
)
LAST_AUDIO = frame("AUDIO", 2**64 - 1, '{"rate":22050,"last":true,"window":false}')
DONE = frame("DONE", 7, '{"synthesis_s":0.25,"rss_bytes":41943040,"was_cancelled":false}')
DONE_TRACED = frame(
    "DONE", 7, DONE["meta"].removesuffix("}") + ',"windows":[[4242.5,4242.75],[4243.0,4243.25]]}'
)
FAILED = frame("FAILED", 7, '{"code":"engine_failed","message":"no","rss_bytes":1}')

VALID = [
    ("hello with one voice and one variant", [HELLO]),
    ("synthesize with letters beyond ASCII", [SYNTHESIZE]),
    ("audio with word marks that ends a window", [AUDIO]),
    ("last audio without PCM, highest utterance id", [LAST_AUDIO]),
    ("done", [DONE]),
    ("failed", [FAILED]),
    ("cancel", [frame("CANCEL", 7)]),
    ("grant", [frame("GRANT", 7)]),
    ("heartbeat", [frame("HEARTBEAT", 0, '{"rss_bytes":0}')]),
    ("drain", [frame("DRAIN")]),
    ("a whole utterance in one go", [SYNTHESIZE, frame("GRANT", 7), AUDIO, LAST_AUDIO, DONE]),
    ("nothing at all", []),
    ("meta that is an empty object", [frame("DRAIN", 0, "{}")]),
    ("hello of an engine on an accelerator", [HELLO_ON_GPU]),
    ("synthesize with the highest seed and with noise scales", [RANDOM]),
    ("synthesize and done of a request that is traced", [TRACED, DONE_TRACED]),
    (
        "done with a field of a later version",
        [frame("DONE", 7, DONE["meta"].removesuffix("}") + ',"later":[1]}')],
    ),
]

INVALID = [
    ("bad_magic", "an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("bad_magic", "one wrong byte", b"X"),
    ("bad_magic", "a frame behind a stray byte", b"\n" + encoded(frame("DRAIN"))),
    ("bad_magic", "magic in the other byte order", header(9, magic=b"ST")),
    ("unsupported_version", "version 0", header(9, version=0)),
    ("unsupported_version", "version 2, header cut short behind it", header(9, version=2)[:3]),
    ("unsupported_version", "version 255", header(9, version=255)),
    ("unknown_kind", "kind 0", header(0)),
    ("unknown_kind", "kind 10", header(10)),
    ("unknown_kind", "kind 255", header(255)),
    ("frame_too_large", "meta one byte over the limit", header(1, meta_bytes=64 * 1024 + 1)),
    ("frame_too_large", "payload one byte over the limit", header(3, payload_bytes=1024 * 1024 + 1)),
    ("frame_too_large", "all ones in both lengths", header(3, 2**32 - 1, 2**32 - 1)),
    ("truncated_frame", "one byte of the magic", b"T"),
    ("truncated_frame", "a header without its last byte", header(9)[:-1]),
    ("truncated_frame", "a header without its meta", header(8, meta_bytes=2)),
    ("truncated_frame", "a frame without its last payload byte", encoded(AUDIO)[:-1]),
    ("truncated_frame", "a whole frame and half another", encoded(HELLO) + encoded(DONE)[:30]),
    ("bad_message", "meta that is no JSON", encoded(frame("HEARTBEAT", 0, "{"))),
    ("bad_message", "meta that is no object", encoded(frame("HEARTBEAT", 0, "[1]"))),
    ("bad_message", "meta that is no UTF-8", header(8, meta_bytes=2) + b"\xff\xfe"),
    ("bad_message", "a field is missing", encoded(frame("DONE", 1, '{"synthesis_s":1}'))),
    ("bad_message", "a number is a text", encoded(frame("HEARTBEAT", 0, '{"rss_bytes":"1"}'))),
    ("bad_message", "a number is true", encoded(frame("HEARTBEAT", 0, '{"rss_bytes":true}'))),
    ("bad_message", "a number is NaN", encoded(frame("DONE", 1, DONE["meta"].replace("0.25", "NaN")))),
    ("bad_message", "a size is negative", encoded(frame("HEARTBEAT", 0, '{"rss_bytes":-1}'))),
    ("bad_message", "half a PCM frame", encoded(frame("AUDIO", 1, LAST_AUDIO["meta"], b"\x00\x01\x02"))),
    (
        "bad_message",
        "a sample rate of 0",
        encoded(frame("AUDIO", 1, '{"rate":0,"last":true,"window":false}')),
    ),
    (
        "bad_message",
        "a voice that is a number",
        encoded(frame("HELLO", 0, HELLO["meta"].replace(VOICE, "5"))),
    ),
    ("bad_message", "an unknown gender", encoded(frame("HELLO", 0, HELLO["meta"].replace("female", "x")))),
    (
        "bad_message",
        "a word mark of two numbers",
        encoded(frame("AUDIO", 7, AUDIO["meta"].replace("7,8,", "7,"))),
    ),
    ("bad_message", "arrays nested without end", encoded(frame("HEARTBEAT", 0, "[" * 60_000))),
    ("bad_message", "audio that holds nothing and isn't the last", encoded(frame("AUDIO", 1, AUDIO["meta"]))),
    (
        "bad_message",
        "hello that has too many pages",
        encoded(frame("HELLO", 0, HELLO["meta"].replace('"pages":1', '"pages":65'))),
    ),
    (
        "bad_message",
        "hello behind its last page",
        encoded(frame("HELLO", 0, HELLO["meta"].replace('"page":0', '"page":1'))),
    ),
    (
        "bad_message",
        "hello that says with a number whether its engine computes on the CPU",
        encoded(frame("HELLO", 0, HELLO["meta"].replace('"is_on_cpu":true', '"is_on_cpu":1'))),
    ),
    *(
        ("bad_message", f"a {about}", encoded(frame("SYNTHESIZE", 7, RANDOM["meta"].replace(right, wrong))))
        for about, right, wrong in (
            ("seed of 65 bits", "18446744073709551615", "18446744073709551616"),
            ("negative seed", "18446744073709551615", "-1"),
            ("seed that isn't whole", "18446744073709551615", "0.5"),
            ("noise scale above 1", "0.667", "1.001"),
            ("negative noise scale", "0.667", "-0.1"),
            ("noise scale that is null", "0.667", "null"),
            ("noise scale of the durations above 1", '"noise_scale_w":1.0', '"noise_scale_w":2'),
            ("noise scale of the durations that is a text", '"noise_scale_w":1.0', '"noise_scale_w":"1"'),
        )
    ),
    (
        "bad_message",
        "a traceparent that means nothing",
        encoded(frame("SYNTHESIZE", 7, TRACED["meta"].replace('"00-', '"ff-'))),
    ),
    (
        "bad_message",
        "a window of one number",
        encoded(frame("DONE", 7, DONE_TRACED["meta"].replace("4242.5,", ""))),
    ),
    (
        "bad_message",
        "more windows than an answer may have",
        encoded(frame("DONE", 7, DONE_TRACED["meta"].replace("[4242.5,4242.75]", ",".join(["[1,2]"] * 256)))),
    ),
]


def write() -> None:
    for folder in (FOLDER / "valid", FOLDER / "invalid"):
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
    for number, (about, frames) in enumerate(VALID, 1):
        save(
            FOLDER / "valid" / f"{number:03}",
            b"".join(map(encoded, frames)),
            {"about": about, "frames": frames},
        )
    for number, (code, about, data) in enumerate(INVALID, 1):
        save(FOLDER / "invalid" / f"{number:03}", data, {"about": about, "code": code})


def save(path: Path, data: bytes, values: dict[str, Any]) -> None:
    path.with_suffix(".bin").write_bytes(data)
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()

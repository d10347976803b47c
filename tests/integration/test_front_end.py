"""The front end in a process of its own: what it loads, and that it holds no memory."""

import subprocess
import sys
from typing import Final

from appliance.engines.vits.front_end import EspeakPhonemizer, Tokenizer
from appliance.errors import NothingToSpeakError
from processes.worker.containment import private_bytes
from tests.parts.front_ends import CORPUS, HARD, phoneme_voice

PROGRAM: Final = """
import sys
from appliance.engines.vits.front_end import EspeakPhonemizer, Tokenizer
from tests.parts.front_ends import phoneme_voice
Tokenizer(phoneme_voice(), EspeakPhonemizer()).encode("Hello, world!", wants_words=True)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_front_end_when_it_has_prepared_a_text_then_neither_torch_nor_coqui_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "espeakng_loader" in loaded
    assert loaded.isdisjoint({"torch", "TTS", "numpy", "onnx", "onnxruntime", "num2words"})


def test_phonemizer_when_it_has_prepared_thousands_of_texts_then_its_memory_is_flat() -> None:
    phonemizer = EspeakPhonemizer()
    voices = [Tokenizer(phoneme_voice(language), phonemizer) for language in ("en-us", "pl", "de", "fr-fr")]
    texts = [text for texts in CORPUS.values() for text in texts] + list(HARD)

    def prepare_all() -> None:
        for voice in voices:
            for text in texts:
                try:
                    voice.encode(text)
                except NothingToSpeakError:
                    continue

    for _ in range(3):
        prepare_all()
    before_bytes = private_bytes()
    for _ in range(15):
        prepare_all()
    assert private_bytes() - before_bytes < 1_048_576

"""From text to token ids without torch.

Owns: what a VITS voice's text goes through before the model sees it: cleaners, phonemes, vocabulary.
Refuses to know: the model, audio, where a voice's description comes from.
"""

from appliance.engines.vits.front_end.phonemes import EspeakPhonemizer
from appliance.engines.vits.front_end.tokenizer import Tokenizer, Tokens, WordTokens

__all__ = ["EspeakPhonemizer", "Tokenizer", "Tokens", "WordTokens"]

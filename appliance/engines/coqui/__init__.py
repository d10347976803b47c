"""Coqui TTS: its library, and the engine that speaks with whatever it loads."""

"""Coqui's VITS voices, spoken without torch."""

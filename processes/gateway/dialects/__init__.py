"""The speech APIs of other servers, each a thin module before the path of `POST /v1/audio/speech`."""

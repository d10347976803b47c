"""The importer: makes voices of Coqui's models, one at a time, and ends."""

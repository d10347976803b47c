"""What the appliance knows: its nouns, rules, wire format and storage.

Starts no process and opens no port: that is the business of `processes`.
"""

__version__ = "0.1.0"

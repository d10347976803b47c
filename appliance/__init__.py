"""What the appliance knows: its nouns, rules, wire format and storage.

Starts no process and opens no port: that is the business of `processes`.
"""

__version__ = "0.1.0"
UPGRADES_FROM = "0.1.0"
"""The oldest version that can be upgraded to this one in one step: told by its notes and by its images."""

"""The section `neural` of the measurements: a full-size VITS voice on one core, beside Coqui's own server.

section       the order, the figures and their bounds
alone         an appliance that has one core to itself
voices        checkpoints with random weights, and the voices imported of them
clients       clients of the appliance that is measured
windows       windowed against whole audio
two_voices    the section `neural-memory`: two voices in every worker that 1 GiB has room for

What `ttsctl voices bench` measures as well, at any running appliance, is in `processes.ttsctl.voice_bench`.
"""

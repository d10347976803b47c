"""The section `neural` of the measurements: a full-size VITS voice on one core, beside Coqui's own server.

section       the order, the figures and their bounds
alone         an appliance that has one core to itself
voices        checkpoints with random weights, and the voices imported of them
coqui_server  Coqui's tts-server as a process
crowds        listeners, and short requests at once
processes     how long a worker takes to start; memory over many utterances
windows       windowed against whole audio
"""

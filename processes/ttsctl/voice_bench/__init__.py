"""What a voice costs, measured at a running appliance; the measurements of `loadtests` use these parts, too.

figures       what was measured, what was promised, and the verdict
course        the order in which a running appliance is measured
texts         what is spoken
crowds        listeners, and short requests at once
playback      where a listener's sound would stand still
usage         CPU and memory of a process
worker_start  how long a worker takes to its hello
coqui_server  Coqui's own tts-server as a process
"""

"""A worker: one process with one warm engine that speaks one utterance at a time.

__main__      settings, engine, exit code
containment   what the process asks of the kernel: dies with its parent, leaves a stack when aborted
stop_signal   SIGTERM as something that can be waited for
connection    connects to the gateway, again and again, and gives up in the end
session       one connection: hello, then utterances until drained, stopped or left
heartbeat     the thread that says the interpreter still runs
"""

"""Makes a voice for the engine `vits` of a model of Coqui's: load, export, quantise, judge.

Needs torch, Coqui and onnx; imported by the importer alone, never by a worker.
"""

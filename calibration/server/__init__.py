"""The live engine behind an OpenAI-compatible server.

loop.py      one thread owns the engine; asyncio tasks hand it requests and get their tokens
app.py       routes; protocol.py what requests may say and answers look like; reply.py one answer
wording.py   text to tokens and back; stop strings
metrics.py   Prometheus text with vLLM's names
serve.py     options to a running server
"""

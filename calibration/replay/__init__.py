"""Open-loop replay of a trace, against the built-in engine or a server.

inprocess.py drives an engine of this process, client.py a server; both fill rows.py, which becomes a
`ReplayResult`. prompts.py makes the prompts, completion.py reads an answer out of the events of sse.py,
servers.py knows how servers differ, failures.py what a status means, journal.py remembers what was done,
summary.py says what came out.
"""

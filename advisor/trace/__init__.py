"""Requests in time: the trace, its readers and writers, generators and fitting.

formats, table, values, rows, readers   from a stranger's file to a trace
writers                                 from a trace to a file
arrivals, lengths, generate             from a law to a trace
fitted, fit, refit                      from a trace to its statistics, and back to a trace
assign, scale, prefixes, describe       adapters for requests, stretches of time, shared prompts, figures
realise                                 any workload of a scenario as a trace
"""

from __future__ import annotations

from advisor.trace.readers import load_trace
from advisor.trace.trace import Trace
from advisor.trace.writers import save_trace

__all__ = ["Trace", "load_trace", "save_trace"]

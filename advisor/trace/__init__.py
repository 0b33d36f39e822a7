"""Requests in time: the trace, its readers and writers, generators and fitting."""

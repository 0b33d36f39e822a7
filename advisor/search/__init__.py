"""Sizing and pricing every way to serve.

question    a scenario with everything looked up: model, adapters, traffic, engine, prices
candidates  every variant that may run, and options refused with their reason
knobs       engine limits that may be tried: slots, seats, token budget
estimate    steady state by algebra, a guess to start from
trial       a deployment simulated on a trace and held against the objective
sizing      the fewest replicas that hold
pools       the same for one pool with its knobs, and for one pool an adapter
saving      knobs that may save a replica: slots, router, budget, seats
confirmation the best plans on a longer stretch and on other draws of the workload
front       which options no other beats on price and a latency
origins     which terms a prediction rests on
ranking     all of it in order: read this first
"""

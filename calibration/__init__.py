"""Measure a device or an endpoint, import others' measurements, replay traffic, compare with the prediction.

Writes the profiles that `advisor` reads. Imports of `advisor` only its lower layers (specification,
profile, trace, step time, simulator); nothing in `advisor` imports this package.
"""

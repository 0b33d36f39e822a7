"""The live engine against what its device allows. Read measure.py first.

Operations and bytes of a step: work.py. The rates at which the device does them: rates.py. What is run:
cases.py, rig.py. Where the rest of the time goes: parts.py.
"""

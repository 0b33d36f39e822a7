"""Microbenchmarks of the live engine: what each part of a step takes on this device.

Which file answers which question:
    run.py         the whole calibration, in order. Read `calibrate_engine` first
    wish.py        what is asked, and the fingerprint of its samples; adapters.py the files it loads
    bench.py       model, caches and slots that the operations work on
    operations.py  what is timed: ceilings, dense, attention, LoRA, head; one function a kind
    timing.py      how it is timed; samples.py where samples are kept, so that a run can go on
    steps.py       end-to-end steps of a real engine over designed batches
    loads.py       adapters from disk to host memory to a slot; merging
    terms.py       samples -> the terms of a profile
    show.py        measured beside fitted, curves.py each term; check.py: does a profile still hold?
"""

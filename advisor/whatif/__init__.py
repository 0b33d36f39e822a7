"""What if something were different: the recommended option and its nearest rivals, decided again at once.

changes.py    what may be different, and the scenario that it makes
again.py      the choice among a few options of an answer, knobs as they are, replicas counted anew
study.py      an answer, ready to be asked: read this first
"""

"""The reasons behind an answer.

explain         the difference from the base, cause by cause, by counterfactual simulation
counterfactual  clocks that leave LoRA work out
curves          the knee, the headroom, the effect of the number of slots
turns           what would turn the advice
words           the summary in plain words
"""

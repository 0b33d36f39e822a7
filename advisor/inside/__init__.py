"""What happens inside a deployment of an answer.

run.py      an option of an answer simulated again, with its states; and the plain base beside it
states.py   the states of one replica in a stretch of time, thinned with the peaks kept
phases.py   its requests in that stretch: waiting, loading, prompt, decoding
"""

"""Charts of the answer: pure functions from results to Altair charts. `advisor.tables` has each as a table.

    theme.py    colours, line styles, sizes; a chart as SVG or PNG without a browser
    cost.py     cost against latency, prices beside each other
    why.py      from the base to the deployment, causes of latency, memory, origins of the terms
    load.py     the knee, the slots, latency distributions

One list of colours, safe for colour-blind eyes; axis titles carry units; line style tells a figure's origin.
"""

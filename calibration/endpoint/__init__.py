"""A profile of somebody's server from outside: `calibrate endpoint`.

`plan` says what is asked, `sweep` asks it (`ask`, `answer`: one request; `cold`: loads; `ramp`: saturation),
`samples` is what came back, `steps` says of which engine steps a sample consists, `terms` fits, `whole` is
the way from a wish to a profile. `overhead` is the client's own time, `metrics` the server's.
"""

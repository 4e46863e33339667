"""The stages of a run (`pipeline`): each takes and returns named objects, and says what it decided.

`inputs` opens the files, finds the redshift and bins the spaxels; `observation` makes what the network sees of the
bins; `outcome` predicts, flags and joins all into a `Result`.
"""

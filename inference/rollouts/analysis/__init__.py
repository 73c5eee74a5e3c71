"""The statistics of rollouts: pure functions of counts and samples, numpy alone, no database.

What may be looked at continuously (`sequential`, the exceedance tests of `latency`) is called always-valid; everything
else is fixed-horizon: one look, at a moment chosen beforehand.
"""

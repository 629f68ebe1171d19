"""statsmodels, which the plugin's numbers are held against. It brings no types, so it comes in as Any."""

import warnings
from importlib import import_module
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports: not ours to mend
    stattools: Any = import_module("statsmodels.tsa.stattools")
    adfvalues: Any = import_module("statsmodels.tsa.adfvalues")
    multitest: Any = import_module("statsmodels.stats.multitest")
    linear: Any = import_module("statsmodels.regression.linear_model")
    statespace: Any = import_module("statsmodels.tsa.statespace.kalman_filter")

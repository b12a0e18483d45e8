"""SciPy's BCa interval of T24 A's AUROC, cases drawn without strata: the two numbers in tests/t_boot.c.
Usage: python3 tools/golden/boot_bca.py"""
import numpy as np
import scipy
from scipy.stats import bootstrap, rankdata

y = np.array([0] * 14 + [1] * 10)
a = np.array([.05, .10, .10, .15, .20, .20, .25, .30, .40, .45, .55, .60, .70, .85,
              .20, .35, .40, .60, .70, .75, .80, .90, .95, .95])


def auroc(y, s, axis=-1):
    y, s = np.atleast_2d(y), np.atleast_2d(s)
    r = rankdata(s, axis=-1)
    m = y.sum(-1)
    n = y.shape[-1] - m
    return np.squeeze(((r * y).sum(-1) - m * (m + 1) / 2) / (m * n))


res = bootstrap((y, a), auroc, n_resamples=100000, paired=True, vectorized=True, method="BCa",
                random_state=np.random.default_rng(3), batch=5000)
print("scipy", scipy.__version__, res.confidence_interval)

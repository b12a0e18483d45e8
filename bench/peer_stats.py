"""Seconds of scikit-learn for what b_stats times: peer_stats.py ROWS.csv [DRAWS]
Prints "seconds_per_10000_draws seconds_auroc_of_a_million". Patients are drawn with numpy, AUROC is
sklearn.metrics.roc_auc_score on the repeated rows, all five arms on the same draw."""
import sys
import time

import numpy as np
from sklearn.metrics import roc_auc_score

rows = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
draws = int(sys.argv[2]) if len(sys.argv) > 2 else 100
y, patient, score = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2:]
n = patient.max() + 1
order = np.argsort(patient, kind="stable")
start = np.searchsorted(patient[order], np.arange(n + 1))
rows_of = [order[start[k]:start[k + 1]] for k in range(n)]
rng = np.random.default_rng(1)
t = time.perf_counter()
for _ in range(draws):
    take = np.concatenate([rows_of[k] for k in rng.integers(0, n, n)])
    for k in range(score.shape[1]):
        roc_auc_score(y[take], score[take, k])
boot = (time.perf_counter() - t) * 10000 / draws
big_y = rng.random(1000000) < 0.1
big = rng.normal(size=1000000) + big_y
t = time.perf_counter()
roc_auc_score(big_y, big)
print(boot, time.perf_counter() - t)

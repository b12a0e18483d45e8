"""Known answers of scikit-learn, statsmodels, SciPy and krippendorff for src/stats.

Makes tests/golden/stats_rows.csv (600 made-up rows) and tests/golden/stats_python.txt ("name value" a line).
Usage, from the root: python3 tools/golden/stats.py
"""
import warnings
from importlib.metadata import version

import krippendorff
import numpy as np
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy.optimize import minimize_scalar
from sklearn import metrics as M
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa
from statsmodels.stats.multitest import multipletests

warnings.simplefilter("ignore")
rng = np.random.default_rng(20260131)
n = 600
cluster = rng.integers(0, 230, n)
effect = rng.normal(0, 0.6, 230)[cluster]
y = (rng.random(n) < 1 / (1 + np.exp(1.1 - effect))).astype(int)
za = np.round(1.3 * y - 0.9 + effect + rng.normal(0, 1.4, n), 2)
zb = np.round(0.6 * za + 0.5 * y + rng.normal(0, 1.2, n), 3)
pa, pb = 1 / (1 + np.exp(-za)), 1 / (1 + np.exp(-zb))
site = rng.integers(0, 2, n)
k = np.where(y == 1, 0, rng.choice([1, 2, 3], n, p=[.55, .3, .15]))
P = rng.dirichlet([1, 1, 1, 1], n) * 0.6
P[np.arange(n), k] += 0.25 * rng.random(n)
P = np.round(P / P.sum(1, keepdims=True), 4)
P[:, 3] = 1 - P[:, :3].sum(1)
r = np.where(rng.random((n, 3)) < 0.75, k[:, None], rng.integers(0, 4, (n, 3)))
r_missing = np.where(rng.random((n, 3)) < 0.15, -1, r)
with open("tests/golden/stats_rows.csv", "w") as f:
    f.write("y,za,zb,cluster,site,k,p0,p1,p2,p3,r0,r1,r2,m0,m1,m2\n")
    for i in range(n):
        row = [y[i], repr(float(za[i])), repr(float(zb[i])), cluster[i], site[i], k[i]]
        row += [repr(float(x)) for x in P[i]] + list(r[i]) + list(r_missing[i])
        f.write(",".join(map(str, row)) + "\n")

out = []


def put(name, value):
    out.append(f"{name} {float(value)!r}")


put("auroc_a", M.roc_auc_score(y, za))
put("auroc_b", M.roc_auc_score(y, zb))
put("ap_a", M.average_precision_score(y, za))
put("ap_b", M.average_precision_score(y, zb))
put("brier_a", M.brier_score_loss(y, pa))
put("log_loss_a", M.log_loss(y, pa))
put("log_loss_b", M.log_loss(y, pb))
put("partial_corrected_a_0.2", M.roc_auc_score(y, za, max_fpr=0.2))
called = (pa >= 0.5).astype(int)
put("f1_a", M.f1_score(y, called))
put("macro_f1_a", M.f1_score(y, called, average="macro"))
put("weighted_f1_a", M.f1_score(y, called, average="weighted"))
put("mcc_a", M.matthews_corrcoef(y, called))
put("kappa_a", M.cohen_kappa_score(y, called))
put("balanced_a", M.balanced_accuracy_score(y, called))
for name, z in (("a", za), ("b", zb)):
    large = sm.GLM(y, np.ones(n), family=sm.families.Binomial(), offset=z).fit(tol=1e-13)
    line = sm.GLM(y, sm.add_constant(z), family=sm.families.Binomial()).fit(tol=1e-13)
    put(f"citl_{name}", large.params[0])
    put(f"citl_se_{name}", large.bse[0])
    put(f"intercept_{name}", line.params[0])
    put(f"slope_{name}", line.params[1])
    put(f"slope_se_{name}", line.bse[1])
    t = minimize_scalar(lambda t: M.log_loss(y, 1 / (1 + np.exp(-z / t))), bounds=(0.05, 20), method="bounded",
                        options={"xatol": 1e-10})
    put(f"temperature_{name}", t.x)
    put(f"temperature_loss_{name}", t.fun)
    s = _SigmoidCalibration().fit(z, y)
    put(f"platt_slope_{name}", -s.a_)
    put(f"platt_intercept_{name}", -s.b_)
    iso = IsotonicRegression(out_of_bounds="clip").fit(z, y)
    for g in np.arange(-4, 4.01, 0.25):
        put(f"isotonic_{name}_{g:.2f}", iso.predict([g])[0])

put("ovr_macro", M.roc_auc_score(k, P, multi_class="ovr", average="macro"))
put("ovr_weighted", M.roc_auc_score(k, P, multi_class="ovr", average="weighted"))
put("ovo_macro", M.roc_auc_score(k, P, multi_class="ovo", average="macro"))
put("ovo_weighted", M.roc_auc_score(k, P, multi_class="ovo", average="weighted"))
top = P.argmax(1)
put("k_accuracy", M.accuracy_score(k, top))
put("k_macro_f1", M.f1_score(k, top, average="macro"))
put("k_weighted_f1", M.f1_score(k, top, average="weighted"))
put("k_mcc", M.matthews_corrcoef(k, top))
put("k_kappa", M.cohen_kappa_score(k, top))
put("k_kappa_linear", M.cohen_kappa_score(k, top, weights="linear"))
put("k_kappa_quadratic", M.cohen_kappa_score(k, top, weights="quadratic"))
put("k_log_loss", M.log_loss(k, P))
table = np.zeros((4, 4), int)
np.add.at(table, (r[:, 0], r[:, 1]), 1)
for w in (None, "linear", "quadratic"):
    res = cohens_kappa(table, wt=w)
    put(f"rater_kappa_{w or 'none'}", res.kappa)
    put(f"rater_kappa_se_{w or 'none'}", res.std_kappa)
put("fleiss", fleiss_kappa(aggregate_raters(r)[0]))
data = np.where(r_missing < 0, np.nan, r_missing).T
for level in ("nominal", "ordinal", "interval"):
    put(f"alpha_{level}", krippendorff.alpha(data, level_of_measurement=level))
right_a, right_b = called == y, (pb >= 0.5).astype(int) == y
t = [[(right_a & right_b).sum(), (right_a & ~right_b).sum()], [(~right_a & right_b).sum(), (~right_a & ~right_b).sum()]]
put("mcnemar_b", t[0][1])
put("mcnemar_c", t[1][0])
put("mcnemar_exact", mcnemar(t, exact=True).pvalue)
put("mcnemar_chi2", mcnemar(t, exact=False, correction=False).pvalue)
put("mcnemar_corrected", mcnemar(t, exact=False, correction=True).pvalue)
p = [0.011, 0.2, 0.0007, 0.04, 0.04, 0.9, 0.0321]
for i, v in enumerate(multipletests(p, method="holm")[1]):
    put(f"holm_{i}", v)
for i, v in enumerate(multipletests(p, method="fdr_bh")[1]):
    put(f"bh_{i}", v)
with open("tests/golden/stats_python.txt", "w") as f:
    f.write(f"# made by tools/golden/stats.py with numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn "
            f"{sklearn.__version__}, statsmodels {statsmodels.__version__}, krippendorff {version('krippendorff')}\n")
    f.write("\n".join(out) + "\n")

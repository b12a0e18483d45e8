"""Known answers of src/text/tfidf.c and src/stats/sparse.c, by scikit-learn, on our own synthetic notes.
    caseload notes --out tests/golden/tfidf_notes.csv --rows 300 --seed 11 --language mixed --noise 0.15
    python3 tools/golden/tfidf.py > tests/golden/tfidf.txt
With a table as argument (id, text, label, split and the positive label) prints AUROCs for that table instead:
    python3 tools/golden/tfidf.py TABLE.csv serious
"""
import csv
import sys

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

CS = [0.1, 1.0, 10.0, 100.0]


def fit(x, y, c):
    return LogisticRegression(C=c, tol=1e-10, max_iter=20000, solver="lbfgs").fit(x, y)


def vectorizers():
    yield "words", TfidfVectorizer()
    yield "characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))


def rows_of(path):
    rows = list(csv.DictReader(open(path, encoding="utf-8-sig")))
    return [r for r in rows if r["split"] == "train"], [r for r in rows if r["split"] == "test"]


def other_table(path, positive):
    train, test = rows_of(path)
    for name, v in vectorizers():
        x, z = v.fit_transform([r["text"] for r in train]), v.transform([r["text"] for r in test])
        for c in CS:
            m = fit(x, [r["label"] == positive for r in train], c)
            print(name, c, roc_auc_score([r["label"] == positive for r in test], m.decision_function(z)))


def strange_texts():
    return ["a bb ccc dd_e f-g 3mg x1 I", "Straße İstanbul ΑΒΓ ½ ² Ⅷ 五", "été noël a\u0301b cafe\u0301s",
            "폐렴이 의심됨, CT상 GGO.", "one\u00a0two\u3000three\u2028four\x1cfive", "A.B.C. it's U.S.A.", "", "   ", "_ __ _a"]


def main():
    train, test = rows_of("tests/golden/tfidf_notes.csv")
    print(f"# made by tools/golden/tfidf.py with scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    for name, v in vectorizers():
        x, z = v.fit_transform([r["text"] for r in train]), v.transform([r["text"] for r in test])
        print(name + "_terms", x.shape[1])
        print(name + "_cells", x.nnz)
        print(name + "_test_cells", z.nnz)
        print(name + "_sum", repr(float(x.sum())))
        print(name + "_cell", repr(float(x[7, x[7].indices.max()])))
        y = np.array([r["label"] == "serious" for r in train])
        for c in CS:
            m = fit(x, y, c)
            eta = m.decision_function(z)
            print(f"{name}_{c:g}_auroc", repr(float(roc_auc_score([r["label"] == "serious" for r in test], eta))))
            print(f"{name}_{c:g}_intercept", repr(float(m.intercept_[0])))
            for i in range(3):
                print(f"{name}_{c:g}_eta_{i}", repr(float(eta[i])))
        kinds = sorted({r["site"] + r["language"] for r in train})
        k = [kinds.index(r["site"] + r["language"]) for r in train]
        p = fit(x, k, 1.0).predict_proba(z)
        for i in range(3):
            for j in range(len(kinds)):
                print(f"{name}_class_{i}_{j}", repr(float(p[i, j])))
        strange = v.fit_transform(strange_texts())
        print(name + "_strange_terms", strange.shape[1])
        print(name + "_strange_cells", strange.nnz)


if len(sys.argv) > 2:
    other_table(sys.argv[1], sys.argv[2])
else:
    main()

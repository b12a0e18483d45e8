"""Known values of the distribution functions in src/stats/dist.c, computed with mpmath at 34 digits.
Usage: python3 tools/golden/dist.py > tests/golden/dist.txt      (mpmath is the only need)"""
import mpmath as mp

mp.mp.dps = 34
print(f"# made by tools/golden/dist.py with mpmath {mp.__version__} at 34 digits: function arguments value")


def out(name, *args):
    *given, value = args
    print(name, *[repr(float(x)) for x in given], mp.nstr(value, 17))


def ncdf(x):
    return mp.erfc(-mp.mpf(x) / mp.sqrt(2)) / 2


def beta_part(x, y, a, b):
    """I_x(a, b), y = 1 - x, by the series of positive terms (DLMF 8.17.8); good for x below the mean."""
    term = total = mp.mpf(1)
    k = 0
    while term > total * mp.mpf(10) ** -32:
        term *= (a + b + k) / (a + 1 + k) * x
        total += term
        k += 1
    return x ** a * y ** b / (a * mp.beta(a, b)) * total


def beta_both(x, a, b):
    x, a, b = mp.mpf(x), mp.mpf(a), mp.mpf(b)
    if x < a / (a + b):
        low = beta_part(x, 1 - x, a, b)
        return low, 1 - low
    high = beta_part(1 - x, x, b, a)
    return 1 - high, high


def beta_lower(x, a, b):
    return beta_both(x, a, b)[0]


def root(f, low, high):
    """The root of a rising f, by regula falsi (Illinois) from a bracket, after some halving."""
    low, high = mp.mpf(low), mp.mpf(high)
    for _ in range(12):
        mid = (low + high) / 2
        low, high = (low, mid) if f(mid) > 0 else (mid, high)
    return mp.findroot(f, (low, high), solver="illinois", tol=mp.mpf(10) ** -62, verify=False)


for x in (-37.0, -8.25, -3.0, -1.959963984540054, -0.1, 0.0, 0.5, 1.0, 2.5, 6.0):
    out("normal_lower", x, ncdf(x))
for p in (1e-300, 1e-20, 1e-5, 0.001, 0.025, 0.3, 0.5, 0.7, 0.975, 0.9999):
    out("normal_quantile", p, root(lambda t: mp.log(ncdf(t)) - mp.log(mp.mpf(p)), -50, 50))
for a, b in ((0.5, 0.5), (1, 3), (7, 4), (11, 5), (81, 183), (0.01, 2), (500.5, 1200), (20000, 30000), (3e4, 2)):
    for x in (0.001, 0.1, 0.29, 0.4, 0.63636, 0.9, 0.99999):
        low, high = beta_both(x, a, b)
        if low > mp.mpf("1e-17"):
            out("beta_lower", x, a, b, low)
        if high > mp.mpf("1e-17"):
            out("beta_upper", x, a, b, high)
for p, a, b in ((0.025, 7, 4), (0.975, 8, 3), (0.025, 81, 183), (0.975, 82, 182), (0.025, 1, 29), (0.5, 2.5, 0.7),
                (0.975, 1, 20), (0.025, 20, 1), (0.3, 0.2, 5)):
    out("beta_quantile", p, a, b, root(lambda t: beta_lower(t, a, b) - mp.mpf(p), 0, 1))
def gamma_low(x, a):
    term = total = mp.mpf(1)
    k = 0
    while term > total * mp.mpf(10) ** -32:
        k += 1
        term *= x / (a + k)
        total += term
    return mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1)) * total


for shape in (0.3, 0.5, 1, 2.5, 10, 123.5, 50000):
    for f in (0.01, 0.5, 0.98, 1.0, 1.02, 1.5, 3):
        x = shape * f
        low = gamma_low(mp.mpf(x), mp.mpf(shape))
        high = 1 - low
        if low > mp.mpf("1e-17"):
            out("gamma_lower", x, shape, low)
        if high > mp.mpf("1e-17"):
            out("gamma_upper", x, shape, high)
for x, df in ((2.882352941176471, 1), (2.117647058823529, 1), (0.5, 3), (30, 7), (1000, 900)):
    out("chi2_upper", x, df, mp.gammainc(mp.mpf(df) / 2, mp.mpf(x) / 2, mp.inf, regularized=True))


def t_both(t, df):
    return beta_lower(df / (mp.mpf(df) + mp.mpf(t) ** 2), mp.mpf(df) / 2, mp.mpf("0.5"))


for t, df in ((0.02516182566, 21.84491073), (1.43490640926908, 190.5), (2.5, 1), (-4, 3), (1e-9, 8), (40, 60), (0.7, 1e5)):
    out("t_two_sided", t, df, t_both(t, mp.mpf(df)))
for p, df in ((0.975, 1), (0.975, 21.84491073), (0.9, 300), (0.0005, 4), (0.6, 2.5), (0.975, 1e4)):
    q = min(mp.mpf(p), 1 - mp.mpf(p))
    t = root(lambda t: q - t_both(t, mp.mpf(df)) / 2, 0, 1e6)
    out("t_quantile", p, df, t if p > 0.5 else -t)
for x, d1, d2 in ((1.5, 3, 40), (0.2, 10, 5), (25, 2, 17)):
    out("f_upper", x, d1, d2, beta_lower(d2 / (mp.mpf(d2) + d1 * mp.mpf(x)), mp.mpf(d2) / 2, mp.mpf(d1) / 2))
for k, n, p in ((7, 10, 0.6), (0, 20, 0.1), (20, 20, 0.9), (12, 17, 0.5), (50000, 100000, 0.5), (3, 1000, 0.001)):
    mass = mp.binomial(n, k) * mp.mpf(p) ** k * (1 - mp.mpf(p)) ** (n - k)
    out("binomial_mass", k, n, p, mass)
    low = mp.mpf(1) if k == n else beta_lower(1 - mp.mpf(p), n - k, k + 1)
    out("binomial_lower", k, n, p, low)

/* dist: see dist.h.
 *
 * Prefixes of the form x^a (1-x)^b / B(a,b) and x^a e^-x / Gamma(a+1) go through the saddle-point
 * form of Loader (2000, "Fast and accurate computation of binomial probabilities"), which keeps
 * full precision for large arguments where differences of lgamma would lose digits. The tails are
 * continued fractions by the modified Lentz method (Thompson and Barnett 1986) or the power series.
 * Inverses are Newton steps kept inside a shrinking bracket.
 */
#include "stats/dist.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>

static const double sqrt_2 = 1.41421356237309504880, sqrt_2pi = 2.50662827463100050242;
static const double log_2pi_half = 0.91893853320467274178;

double dist_normal_lower(double x) { return 0.5 * erfc(-x / sqrt_2); }
double dist_normal_upper(double x) { return 0.5 * erfc(x / sqrt_2); }
double dist_normal_two_sided(double z) { return erfc(fabs(z) / sqrt_2); }

double dist_normal_quantile(double p)
{
    assert(p > 0 && p < 1);
    bool upper = p > 0.5;
    double q = upper ? 1 - p : p;
    if (p == 0.5) return 0;
    /* start: Abramowitz and Stegun 26.2.23, |error| < 4.5e-4; then Halley steps, each cubing it */
    double t = sqrt(-2 * log(q));
    double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                         (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    for (int i = 0; i < 3; i++) {
        double miss = (dist_normal_lower(x) - q) * sqrt_2pi * exp(0.5 * x * x);
        x -= miss / (1 + 0.5 * x * miss);
    }
    return upper ? -x : x;
}

double dist_normal_factor(double level)
{
    assert(level > 0 && level < 1);
    return -dist_normal_quantile((1 - level) / 2);
}

static double log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

/* log(n!) minus Stirling's formula, for real n >= 0. */
static double stirling_rest(double n)
{
    if (n == 0)
        return 0; /* meets n log n = 0 in its callers; the sqrt(2 pi n) factor is dropped there */
    if (n < 16) return log_gamma(n + 1) - (n + 0.5) * log(n) + n - log_2pi_half;
    double q = 1 / (n * n);
    return (1.0 / 12 - q * (1.0 / 360 - q * (1.0 / 1260 - q * (1.0 / 1680 - q * (1.0 / 1188))))) /
           n;
}

/* x log(x / m) + m - x without cancellation when x is near m. */
static double deviance_part(double x, double m)
{
    if (fabs(x - m) < 0.1 * (x + m)) {
        double v = (x - m) / (x + m), s = (x - m) * v, term = 2 * x * v;
        for (int j = 1; j < 1000; j++) {
            term *= v * v;
            double next = s + term / (2 * j + 1);
            if (next == s) return next;
            s = next;
        }
        return s;
    }
    return x * log(x / m) + m - x;
}

/* Gamma(a+b+1) / (Gamma(a+1) Gamma(b+1)) x^a y^b with y = 1 - x; a, b >= 0. */
static double binomial_raw(double a, double b, double x, double y)
{
    if (x == 0) return a == 0 ? 1 : 0;
    if (y == 0) return b == 0 ? 1 : 0;
    double n = a + b;
    if (a == 0) return exp(n * (x < 0.5 ? log1p(-x) : log(y)));
    if (b == 0) return exp(n * (y < 0.5 ? log1p(-y) : log(x)));
    double log_part = stirling_rest(n) - stirling_rest(a) - stirling_rest(b) -
                      deviance_part(a, n * x) - deviance_part(b, n * y);
    return sqrt(n / (a * b)) / sqrt_2pi * exp(log_part);
}

/* Continued fraction of I_x(a, b) without its prefix (DLMF 8.17.22). */
static double beta_fraction(double x, double a, double b)
{
    double tiny = 1e-300, c = 1, d = 1 - (a + b) * x / (a + 1);
    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    double f = d;
    for (int m = 1; m < 100000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            if (fabs(d) < tiny) d = tiny;
            c = 1 + term / c;
            if (fabs(c) < tiny) c = tiny;
            d = 1 / d;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 0.5 * DBL_EPSILON) break;
    }
    return f;
}

/* I_x(a, b) with y = 1 - x given apart, so that neither end loses digits. */
static double beta_tail(double x, double y, double a, double b, bool upper)
{
    assert(a > 0 && b > 0 && x >= 0 && y >= 0);
    if (x == 0 || y == 0) return (x == 0) == upper ? 1 : 0;
    double front = binomial_raw(a, b, x, y) * (a * b / (a + b));
    if (x < (a + 1) / (a + b + 2)) {
        double low = front * beta_fraction(x, a, b) / a;
        return upper ? 1 - low : low;
    }
    double high = front * beta_fraction(y, b, a) / b;
    return upper ? high : 1 - high;
}

double dist_beta_lower(double x, double a, double b) { return beta_tail(x, 1 - x, a, b, false); }
double dist_beta_upper(double x, double a, double b) { return beta_tail(x, 1 - x, a, b, true); }

double dist_beta_quantile(double p, double a, double b)
{
    assert(p >= 0 && p <= 1 && a > 0 && b > 0);
    if (p == 0 || p == 1) return p;
    double low = 0, high = 1, x = a / (a + b);
    for (int i = 0; i < 2000; i++) {
        double miss = dist_beta_lower(x, a, b) - p;
        if (miss == 0) return x;
        if (miss > 0) high = x;
        else low = x;
        double density = binomial_raw(a, b, x, 1 - x) * (a * b / (a + b)) / (x * (1 - x));
        double next = density > 0 ? x - miss / density : -1;
        if (!(next > low && next < high)) next = low > 0 ? 0.5 * (low + high) : high / 16;
        if (fabs(next - x) <= 2 * DBL_EPSILON * x) return next;
        x = next;
    }
    return x;
}

/* x^a e^-x / Gamma(a+1) */
static double poisson_raw(double a, double x)
{
    if (x == 0) return a == 0 ? 1 : 0;
    if (a < 1e-300) return exp(-x);
    return exp(-stirling_rest(a) - deviance_part(a, x)) / (sqrt_2pi * sqrt(a));
}

static double gamma_series(double x, double a)
{
    double term = 1, sum = 1;
    for (int k = 1; k < 1000000; k++) {
        term *= x / (a + k);
        sum += term;
        if (term < 0.5 * DBL_EPSILON * sum) break;
    }
    return poisson_raw(a, x) * sum;
}

/* DLMF 8.9.2, Lentz */
static double gamma_fraction(double x, double a)
{
    double tiny = 1e-300, b = x + 1 - a, c = 1 / tiny, d = 1 / b, f = d;
    for (int k = 1; k < 1000000; k++) {
        double term = -k * (k - a);
        b += 2;
        d = term * d + b;
        if (fabs(d) < tiny) d = tiny;
        c = b + term / c;
        if (fabs(c) < tiny) c = tiny;
        d = 1 / d;
        double step = d * c;
        f *= step;
        if (fabs(step - 1) < 0.5 * DBL_EPSILON) break;
    }
    return poisson_raw(a, x) * a * f;
}

double dist_gamma_lower(double x, double shape)
{
    assert(x >= 0 && shape > 0);
    return x < shape + 1 ? gamma_series(x, shape) : 1 - gamma_fraction(x, shape);
}

double dist_gamma_upper(double x, double shape)
{
    assert(x >= 0 && shape > 0);
    return x < shape + 1 ? 1 - gamma_series(x, shape) : gamma_fraction(x, shape);
}

double dist_chi2_upper(double x, double df)
{
    assert(x >= 0 && df > 0);
    if (df == 1) return erfc(sqrt(x / 2));
    return dist_gamma_upper(x / 2, df / 2);
}

double dist_t_two_sided(double t, double df)
{
    assert(df > 0);
    double t2 = t * t, x = df / (df + t2), y = t2 / (df + t2);
    if (isinf(t2)) return 0;
    return beta_tail(x, y, df / 2, 0.5, false);
}

double dist_t_upper(double t, double df)
{
    double both = dist_t_two_sided(t, df);
    return t >= 0 ? both / 2 : 1 - both / 2;
}

double dist_t_quantile(double p, double df)
{
    assert(p > 0 && p < 1 && df > 0);
    if (p == 0.5) return 0;
    double q = p < 0.5 ? p : 1 - p; /* upper-tail mass of the positive quantile */
    double low = 0, high = 1;
    while (dist_t_upper(high, df) > q) high *= 2;
    double log_density_0 = log_gamma((df + 1) / 2) - log_gamma(df / 2) - 0.5 * log(df * acos(-1.0));
    double t = 0.5 * (low + high);
    for (int i = 0; i < 2000; i++) {
        double miss = dist_t_upper(t, df) - q;
        if (miss > 0) low = t;
        else high = t;
        double density = exp(log_density_0 - (df + 1) / 2 * log1p(t * t / df));
        double next = t + miss / density;
        if (!(next > low && next < high)) next = 0.5 * (low + high);
        if (fabs(next - t) <= 2 * DBL_EPSILON * t) {
            t = next;
            break;
        }
        t = next;
    }
    return p < 0.5 ? -t : t;
}

double dist_f_upper(double x, double df1, double df2)
{
    assert(x >= 0 && df1 > 0 && df2 > 0);
    double total = df2 + df1 * x;
    return beta_tail(df2 / total, df1 * x / total, df2 / 2, df1 / 2, false);
}

double dist_binomial_mass(int64_t k, int64_t n, double p)
{
    assert(n >= 0 && p >= 0 && p <= 1);
    if (k < 0 || k > n) return 0;
    return binomial_raw((double)k, (double)(n - k), p, 1 - p);
}

double dist_binomial_lower(int64_t k, int64_t n, double p)
{
    assert(n >= 0 && p >= 0 && p <= 1);
    if (k < 0) return 0;
    if (k >= n) return 1;
    return beta_tail(1 - p, p, (double)(n - k), (double)(k + 1), false);
}

/* dist: distribution functions in double precision, to about 1e-13 relative.
 *
 * Lower tail: P(X <= x). Upper tail: P(X > x), computed as such, never as 1 - lower.
 * Arguments outside a function's domain are our mistake (assert).
 */
#ifndef CASELOAD_STATS_DIST_H
#define CASELOAD_STATS_DIST_H

#include <stdint.h>

double dist_normal_lower(double x);
double dist_normal_upper(double x);
double dist_normal_two_sided(double z); /* P(|Z| >= |z|) */
double dist_normal_quantile(double p);  /* 0 < p < 1 */

/* Half-width factor of a central interval: the normal quantile at (1 + level) / 2. level in (0, 1).
 */
double dist_normal_factor(double level);

/* Regularised incomplete beta I_x(a, b) (0 <= x <= 1, a, b > 0), its complement, its inverse in x.
 */
double dist_beta_lower(double x, double a, double b);
double dist_beta_upper(double x, double a, double b);
double dist_beta_quantile(double p, double a, double b); /* 0 <= p <= 1 */

/* Regularised incomplete gamma P(shape, x), Q(shape, x). */
double dist_gamma_lower(double x, double shape);
double dist_gamma_upper(double x, double shape);

double dist_chi2_upper(double x, double df);

double dist_t_upper(double t, double df);
double dist_t_two_sided(double t, double df);
double dist_t_quantile(double p, double df); /* 0 < p < 1 */

/* F distribution, P(F > x). */
double dist_f_upper(double x, double df1, double df2);

/* Binomial(n, p): P(X = k), P(X <= k). */
double dist_binomial_mass(int64_t k, int64_t n, double p);
double dist_binomial_lower(int64_t k, int64_t n, double p);

#endif

# Known answers of pROC and rms for src/stats, from tests/golden/stats_rows.csv.
# Usage, from the root: Rscript tools/golden/stats.R > tests/golden/stats_r.txt
suppressPackageStartupMessages({library(pROC); library(rms)})
d <- read.csv("tests/golden/stats_rows.csv")
cat("# made by tools/golden/stats.R with", R.version.string, "pROC", as.character(packageVersion("pROC")),
    "rms", as.character(packageVersion("rms")), "\n")
put <- function(name, value) cat(name, sprintf("%.17g", as.numeric(value)), "\n")
roc2 <- function(y, x) suppressMessages(roc(y, x, levels = c(0, 1), direction = "<"))
a <- roc2(d$y, d$za); b <- roc2(d$y, d$zb)
for (k in c("a", "b")) {
  r <- get(k); ci <- ci.auc(r, method = "delong")
  put(paste0("auc_", k), r$auc); put(paste0("var_", k), var(r, method = "delong"))
  put(paste0("low_", k), ci[1]); put(paste0("high_", k), ci[3])
}
put("cov", cov(a, b, method = "delong"))
t <- roc.test(a, b, method = "delong", paired = TRUE)
put("paired_z", t$statistic); put("paired_p", t$p.value)
x <- roc2(d$y[d$site == 0], d$za[d$site == 0]); w <- roc2(d$y[d$site == 1], d$za[d$site == 1])
t <- roc.test(x, w, method = "delong", paired = FALSE)
put("unpaired_d", t$statistic); put("unpaired_df", t$parameter); put("unpaired_p", t$p.value)
for (s in c(0.9, 0.8, 0.6)) {
  put(paste0("partial_", s), auc(a, partial.auc = c(1, s)))
  put(paste0("partial_corrected_", s), auc(a, partial.auc = c(1, s), partial.auc.correct = TRUE))
}
put("partial_mid", auc(a, partial.auc = c(0.9, 0.7)))
put("partial_corrected_mid", auc(a, partial.auc = c(0.9, 0.7), partial.auc.correct = TRUE))
v <- val.prob(plogis(d$za), d$y, pl = FALSE)
for (n in c("C (ROC)", "Brier", "Intercept", "Slope", "S:z", "S:p")) put(paste0("val_", gsub("[^A-Za-z]", "", n)), v[n])
knots <- quantile(d$za, c(0.1, 0.5, 0.9))
f <- lrm(y ~ rcs(za, knots), data = d, tol = 1e-13, eps = 1e-12, maxit = 100)
grid <- seq(0.05, 0.95, 0.05)
p <- predict(f, data.frame(za = qlogis(grid)), type = "fitted")
for (i in seq_along(grid)) put(sprintf("curve_%.2f", grid[i]), p[i])
put("power_113", power.roc.test(ncases = 41, ncontrols = 72, auc = 0.73, sig.level = 0.05)$power)

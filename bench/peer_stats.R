# Seconds of pROC for what b_stats times: Rscript peer_stats.R ROWS.csv [DRAWS]
# Prints "seconds_per_10000_draws seconds_delong_of_20_arms".
suppressPackageStartupMessages(library(pROC))
arg <- commandArgs(TRUE)
draws <- if (length(arg) > 1) as.integer(arg[2]) else 10
d <- read.csv(arg[1])
rows_of <- split(seq_len(nrow(d)), d$patient)
set.seed(1)
t <- proc.time()[["elapsed"]]
for (i in seq_len(draws)) {
  take <- unlist(rows_of[sample.int(length(rows_of), replace = TRUE)], use.names = FALSE)
  for (k in 0:4) auc(d$y[take], d[[paste0("s", k)]][take], levels = c(0, 1), direction = "<", quiet = TRUE)
}
boot <- (proc.time()[["elapsed"]] - t) * 10000 / draws
t <- proc.time()[["elapsed"]]
r <- lapply(0:4, function(k) roc(d$y, d[[paste0("s", k)]], levels = c(0, 1), direction = "<", quiet = TRUE))
for (i in 1:4) for (j in (i + 1):5) roc.test(r[[i]], r[[j]], method = "delong", paired = TRUE)
cat(boot, (proc.time()[["elapsed"]] - t) * 19, "\n")  # 10 pairs of 5 arms; 190 of 20

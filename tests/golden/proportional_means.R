# Golden values for the proportional means model of recurrent events with death. Run by hand:
#
#     Rscript tests/golden/proportional_means.R tests/golden/proportional_means.json
#
# Without deaths: survival::coxph on counting-process rows, Breslow's ties (the LWYY model).
# With deaths: the same coxph on rows that go on after death with the weights G(u-)/G(D-), one row for each event time.

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})
set.seed(11)
n <- 150
x <- cbind(x1 = rnorm(n), x2 = rbinom(n, 1, 0.4))
rate <- 0.012 * exp(x %*% c(0.5, -0.7))
death <- rexp(n, 0.002 * exp(0.4 * x[, 1])); censored <- runif(n, 50, 500)
end <- ceiling(pmin(death, censored)); died <- as.integer(death < censored)
events <- lapply(seq_len(n), function(i) sort(unique(ceiling(runif(rpois(1, rate[i] * end[i]), 0, end[i])))))

rows_of <- function(i, cuts) {
  day <- events[[i]]
  stop <- sort(unique(c(day, end[i], cuts)))
  data.frame(id = i, start = c(0, stop[-length(stop)]), stop = stop, event = as.integer(stop %in% day), t(x[i, ]))
}
fit <- function(data) {
  model <- coxph(Surv(start, stop, event) ~ x1 + x2, data, weights = data$w, ties = "breslow",
                 control = coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100))
  base <- basehaz(model, centered = FALSE)
  at <- c(20, 100, 300)
  list(beta = unname(coef(model)), mean = sapply(at, function(t) max(0, base$hazard[base$time <= t])))
}
plain <- do.call(rbind, lapply(seq_len(n), rows_of, cuts = numeric(0))); plain$w <- 1

grid <- sort(unique(unlist(events)))
# Censoring survival, events first on ties: subtract the deaths of the day from the risk set.
G_before <- function(u) {
  days <- sort(unique(end[died == 0 & end < u]))
  prod(vapply(days, function(d) 1 - sum(end == d & died == 0) / (sum(end >= d) - sum(end == d & died == 1)), 0))
}
g_grid <- sapply(grid, G_before)
after <- do.call(rbind, lapply(which(died == 1), function(i) {
  later <- which(grid > end[i])
  if (!length(later)) return(NULL)
  stop <- grid[later]
  w <- g_grid[later] / G_before(end[i])
  kept <- w > 0
  data.frame(id = i, start = c(end[i], stop[-length(stop)]), stop = stop, event = 0, t(x[i, ]), w = w)[kept, ]
}))
with_death <- rbind(plain, after)
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival"))),
  x = unname(x), end = end, died = died, events = lapply(events, as.numeric), times = c(20, 100, 300),
  without_death = fit(plain), with_death = fit(with_death)
)
write_json(out, commandArgs(trailingOnly = TRUE)[1], digits = 17)

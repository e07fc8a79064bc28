# Golden values for the marginal mean number of recurrent events, computed with R. Run by hand:
#
#     Rscript tests/golden/mean_count.R tests/golden/mean_count.json
#
# The survival curve and the risk sets come from survival::survfit; the Nelson-Aalen increments of the recurrent events from
# survfit's cumhaz on counting-process rows; the Ghosh-Lin estimate is the sum of S(u-) dLambda(u). Without deaths it is the
# mean cumulative function, survfit(Surv(start, stop, event) ~ 1, id = )$cumhaz itself.

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})
set.seed(7)
n <- 60
end <- ceiling(pmin(rexp(n, 1 / 200), 300))
terminal <- as.integer(end < 300 & runif(n) < 0.5)
rows <- list(); events <- list()
for (i in seq_len(n)) {
  k <- rpois(1, 0.02 * end[i])
  day <- sort(unique(ceiling(runif(k, 0, end[i]))))
  events[[i]] <- day
  cuts <- sort(unique(c(0, day, end[i])))
  stop <- cuts[-1]
  rows[[i]] <- data.frame(id = i, start = cuts[-length(cuts)], stop = stop, event = as.integer(stop %in% day))
}
long <- do.call(rbind, rows)
recurrent <- survfit(Surv(start, stop, event) ~ 1, data = long, id = id)
alive <- survfit(Surv(end, terminal) ~ 1)
before <- stepfun(alive$time, c(1, alive$surv), right = TRUE)  # S(u-)
increments <- diff(c(0, recurrent$cumhaz))
at <- c(10, 50, 100, 200, 299)
mean_at <- sapply(at, function(t) sum((before(recurrent$time) * increments)[recurrent$time <= t]))
without_death <- sapply(at, function(t) sum(increments[recurrent$time <= t]))
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival"))),
  end = end, terminal = terminal, events = lapply(events, as.numeric), times = at,
  mean = mean_at, mean_cumulative = without_death
)
write_json(out, commandArgs(trailingOnly = TRUE)[1], digits = 17, auto_unbox = FALSE)

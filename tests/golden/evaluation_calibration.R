# Golden values for calibration and net benefit, computed with R on the simulated study of evaluation.json. Run by hand:
#
#     Rscript tests/golden/evaluation_calibration.R tests/golden/evaluation.json tests/golden/evaluation_calibration.json

suppressMessages({
  library(survival)
  library(geepack)
  library(rms)
  library(jsonlite)
})

arguments <- commandArgs(trailingOnly = TRUE)
study <- fromJSON(arguments[1])$simulated
n <- length(study$time)
times <- study$times
fit <- survfit(Surv(study$time, factor(study$event, 0:2)) ~ 1, id = seq_len(n))
jackknife <- study$pseudo
thresholds <- c(0.05, 0.15, 0.3, 0.6)

cll <- function(p) log(-log(1 - p))

line <- function(risk, pseudo) {
  data <- data.frame(y = pseudo, x = cll(risk), id = seq_along(risk))
  mean_only <- geese(y ~ offset(x), data = data, id = id, scale.fix = TRUE, family = gaussian,
                     mean.link = "cloglog", corstr = "independence", control = geese.control(epsilon = 1e-12))
  both <- geese(y ~ x, data = data, id = id, scale.fix = TRUE, family = gaussian,
                mean.link = "cloglog", corstr = "independence", control = geese.control(epsilon = 1e-12))
  list(intercept = unname(mean_only$beta), slope = unname(both$beta[2]))
}

distances <- function(risk, pseudo) {
  cubic <- rcspline.eval(risk, knots = quantile(risk, c(0.1, 0.5, 0.9)), inclx = TRUE)
  curve <- pmin(pmax(fitted(lm(pseudo ~ cubic)), 0), 1)
  gap <- abs(curve - risk)
  list(ici = mean(gap), e50 = median(gap), e90 = unname(quantile(gap, 0.9)), emax = max(gap))
}

benefit <- function(risk, cause, time, threshold) {
  treated <- risk >= threshold
  if (!any(treated)) return(0)
  own <- survfit(Surv(study$time[treated], factor(study$event[treated], 0:2)) ~ 1, id = seq_len(sum(treated)))
  happened <- summary(own, times = time, extend = TRUE)$pstate[, cause + 1]
  happened * mean(treated) - (1 - happened) * mean(treated) * threshold / (1 - threshold)
}

by_cause <- lapply(1:2, function(cause) {
  risks <- study$risks[cause, , ]
  at <- summary(fit, times = times)$pstate[, cause + 1]
  squared <- c(0, (colMeans(risks) - at)^2)
  grid <- c(0, times)
  list(
    aj_calibration = sum(diff(grid) * (head(squared, -1) + tail(squared, -1)) / 2) / max(times),
    lines = lapply(seq_along(times), function(j) line(risks[, j], jackknife[cause, , j])),
    distances = lapply(seq_along(times), function(j) distances(risks[, j], jackknife[cause, , j])),
    benefit = lapply(1:3, function(j) sapply(thresholds, function(p) benefit(risks[, j], cause, times[j], p))),
    benefit_of_all = lapply(1:3, function(j) sapply(thresholds, function(p) benefit(rep(1, n), cause, times[j], p)))
  )
})
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."),
              sapply(c("survival", "geepack", "rms"), function(p) as.character(packageVersion(p))))
write(toJSON(list(versions = as.list(versions), thresholds = thresholds, causes = by_cause,
                  share_at_risk = mean(study$time >= max(times))), digits = 15, auto_unbox = TRUE), arguments[2])

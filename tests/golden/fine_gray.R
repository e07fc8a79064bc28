# Golden values for Fine and Gray's model, computed with R. Run by hand:
#
#     Rscript tests/golden/fine_gray.R tests/golden/fine_gray.json
#
# Coefficients and incidences: cmprsk::crr and riskRegression::FGR, on data in which no event is tied with a censoring (in
# crr's G an event on the day of a censoring is still at risk of it; here, as in survival::finegray, it is not).
# The same with censorings tied to events, with left truncation (Geskus's weights) and with a ridge penalty:
# survival::finegray and a weighted survival::coxph with Breslow's ties; ridge(theta = , scale = FALSE) is
# theta / 2 * sum(beta^2) on the log partial likelihood.

suppressPackageStartupMessages({
  library(survival)
  library(cmprsk)
  library(prodlim)
  library(riskRegression)
  library(jsonlite)
})

make_data <- function(seed, n, step, truncated, censoring_apart) {
  set.seed(seed)
  x <- cbind(x1 = rnorm(n), x2 = rbinom(n, 1, 0.4), x3 = runif(n, -1, 1))
  rates <- cbind(0.010 * exp(x %*% c(0.8, -0.5, 0.3)), 0.008 * exp(x %*% c(-0.4, 0.7, 0.0)))
  latent <- cbind(rexp(n, 0.007), rexp(n, rates[, 1]), rexp(n, rates[, 2]))
  cause <- apply(latent, 1, which.min) - 1
  duration <- ceiling(apply(latent, 1, min) / step) * step
  if (censoring_apart) duration <- duration + ifelse(cause == 0, step / 2, 0)
  # Most are seen from day 0 on: otherwise the first risk sets are so small that weights grow without bound.
  entry <- if (truncated) rbinom(n, 1, 0.4) * ceiling(runif(n, 0, 60) / step) * step else rep(0, n)
  data.frame(entry, duration, cause, x)[entry < duration, ]
}

# Coefficients and incidences (patients, times) of one cause from cmprsk, FGR beside it.
with_cmprsk <- function(data, cause, new, at) {
  x <- as.matrix(data[, c("x1", "x2", "x3")])
  fit <- crr(data$duration, data$cause, x, failcode = cause, gtol = 1e-10, maxiter = 100)
  steps <- predict(fit, x[new, ])
  by <- sapply(at, function(t) c(list(rep(0, length(new))), list(steps[sum(steps[, 1] <= t), -1]))[[1 + any(steps[, 1] <= t)]])
  fgr <- FGR(Hist(duration, cause) ~ x1 + x2 + x3, data, cause = cause, gtol = 1e-10, maxiter = 100)
  list(
    beta = unname(fit$coef), log_likelihood = fit$loglik, incidence = unname(by),
    fgr = unname(predict(fgr, newdata = data[new, ], times = at))
  )
}

# The same from survival, with the weights of finegray.
with_survival <- function(data, cause, theta, new, at) {
  data$id <- seq_len(nrow(data))
  data$state <- factor(data$cause, 0:2)
  long <- finegray(Surv(entry, duration, state) ~ ., data, etype = as.character(cause), id = id)
  right <- if (theta == 0) "x1 + x2 + x3" else sprintf("ridge(x1, x2, x3, theta = %s, scale = FALSE)", theta)
  control <- coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100)
  formula <- as.formula(paste("Surv(fgstart, fgstop, fgstatus) ~", right))
  fit <- coxph(formula, long, weights = fgwt, ties = "breslow", control = control)
  beta <- unname(coef(fit))
  long$offset <- as.vector(as.matrix(long[, c("x1", "x2", "x3")]) %*% beta)
  null <- coxph(Surv(fgstart, fgstop, fgstatus) ~ offset(offset), long, weights = fgwt, ties = "breslow")
  base <- survfit(null, newdata = data.frame(offset = 0), ctype = 1, stype = 2)
  cumulative <- sapply(at, function(t) max(c(0, base$cumhaz[base$time <= t])))
  relative <- exp(as.matrix(data[new, c("x1", "x2", "x3")]) %*% beta)
  list(beta = beta, incidence = unname(1 - exp(-relative %*% t(cumulative))))
}

case <- function(name, seed, n, step, truncated, theta, package) {
  data <- make_data(seed, n, step, truncated, package == "cmprsk")
  new <- 1:5
  at <- c(10, 30, 60, 120)
  fits <- lapply(1:2, function(k) {
    if (package == "cmprsk") with_cmprsk(data, k, new, at) else with_survival(data, k, theta, new, at)
  })
  list(
    name = name, package = package, penalty = theta,
    entry_days = data$entry, duration_days = data$duration, cause = data$cause,
    x = unname(as.matrix(data[, c("x1", "x2", "x3")])), causes = fits, times_days = at
  )
}

cases <- list(
  case("no ties", 1, 150, 1e-6, FALSE, 0, "cmprsk"),
  case("tied events", 2, 150, 10, FALSE, 0, "cmprsk"),
  case("no ties, finegray", 1, 150, 1e-6, FALSE, 0, "survival"),
  case("events tied with censorings", 3, 150, 10, FALSE, 0, "survival"),
  case("ridge", 4, 150, 1, FALSE, 5, "survival"),
  case("left truncation", 5, 200, 1e-6, TRUE, 0, "survival"),
  case("left truncation, heavy ties, ridge", 6, 250, 10, TRUE, 5, "survival")
)
versions <- sapply(
  c("survival", "cmprsk", "prodlim", "riskRegression", "jsonlite"), function(p) as.character(packageVersion(p))
)
golden <- list(R = R.version.string, packages = as.list(versions), cases = cases)
writeLines(toJSON(golden, digits = NA, auto_unbox = TRUE), commandArgs(trailingOnly = TRUE)[1])

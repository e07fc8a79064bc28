# Golden values for the cause-specific Cox models, computed with R. Run by hand:
#
#     Rscript tests/golden/cox.R tests/golden/cox.json
#
# Coefficients: survival::coxph with ties = "efron", unpenalised or with ridge(theta = , scale = FALSE), whose penalty is
# theta / 2 * sum(beta^2) on the log partial likelihood.
# Baseline hazards: survival::basehaz(centered = FALSE), which carries Efron's correction for ties.
# Incidence: S(t-) (1 - exp(-dLambda)) dLambda_k / dLambda with S = exp(-Lambda), summed over the event times of all causes,
# from coxph and basehaz. riskRegression's CSC(surv.type = "hazard", product.limit = FALSE) sums exp(-Lambda(t-)) dLambda_k
# over Breslow's hazards instead; it is kept beside it to measure that difference, on data without ties.

suppressPackageStartupMessages({
  library(survival)
  library(riskRegression)
  library(jsonlite)
})

make_data <- function(seed, n, step, truncated) {
  set.seed(seed)
  x <- cbind(x1 = rnorm(n), x2 = rbinom(n, 1, 0.4), x3 = runif(n, -1, 1))
  rates <- cbind(0.010 * exp(x %*% c(0.8, -0.5, 0.3)), 0.006 * exp(x %*% c(-0.4, 0.7, 0.0)))
  latent <- cbind(rexp(n, 0.004), rexp(n, rates[, 1]), rexp(n, rates[, 2]))
  duration <- ceiling(apply(latent, 1, min) / step) * step
  cause <- apply(latent, 1, which.min) - 1
  entry <- if (truncated) ceiling(pmax(0, rnorm(n, 5, 15)) / step) * step else rep(0, n)
  kept <- entry < duration
  data.frame(entry, duration, cause, x)[kept, ]
}

# Coefficients and baseline hazard of one cause.
fit_cause <- function(data, cause, theta) {
  data$event <- as.integer(data$cause == cause)
  right <- if (is.null(theta)) "x1 + x2 + x3" else sprintf("ridge(x1, x2, x3, theta = %s, scale = FALSE)", theta)
  control <- coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100)
  fit <- coxph(
    as.formula(paste("Surv(entry, duration, event) ~", right)), data,
    ties = "efron", control = control, x = TRUE
  )
  beta <- unname(coef(fit))
  # The baseline of these coefficients, from an offset: basehaz does not centre ridge terms in all versions.
  data$offset <- as.vector(as.matrix(data[, c("x1", "x2", "x3")]) %*% beta)
  null <- coxph(Surv(entry, duration, event) ~ offset(offset), data, ties = "efron")
  base <- survfit(null, newdata = data.frame(offset = 0), ctype = 2, stype = 2)
  happened <- base$n.event > 0
  log_likelihood <- coxph(
    Surv(entry, duration, event) ~ x1 + x2 + x3, data,
    ties = "efron", init = beta, control = coxph.control(iter.max = 0)
  )$loglik[2]
  list(
    beta = beta, log_likelihood = log_likelihood,
    times_days = base$time[happened], cumulative_hazard = base$cumhaz[happened]
  )
}

# Incidences (patients, causes, times) of the rows `new`.
incidence <- function(data, fits, new, at) {
  times <- sort(unique(data$duration[data$cause > 0]))
  x <- as.matrix(data[new, c("x1", "x2", "x3")])
  values <- array(0, c(length(new), length(fits), length(at)))
  for (i in seq_along(new)) {
    increments <- sapply(fits, function(fit) {
      steps <- diff(c(0, fit$cumulative_hazard)) * exp(sum(x[i, ] * fit$beta))
      all <- rep(0, length(times))
      all[match(fit$times_days, times)] <- steps
      all
    })
    total <- rowSums(increments)
    before <- exp(-(cumsum(total) - total))
    for (k in seq_along(fits)) {
      curve <- cumsum(before * (1 - exp(-total)) * increments[, k] / total)
      values[i, k, ] <- sapply(at, function(t) c(0, curve)[1 + sum(times <= t)])
    }
  }
  values
}

# The same from riskRegression's cause-specific Cox models.
csc <- function(data, new, at) {
  fit <- CSC(Hist(duration, cause) ~ x1 + x2 + x3, data, surv.type = "hazard")
  sapply(1:2, function(k) {
    predict(fit, newdata = data[new, ], times = at, cause = k, product.limit = FALSE)$absRisk
  }, simplify = "array")
}

case <- function(name, seed, n, step, truncated, theta) {
  data <- make_data(seed, n, step, truncated)
  fits <- lapply(1:2, function(k) fit_cause(data, k, theta))
  new <- 1:5
  at <- c(10, 30, 60, 120)
  result <- list(
    name = name, penalty = if (is.null(theta)) 0 else theta,
    entry_days = data$entry, duration_days = data$duration, cause = data$cause,
    x = unname(as.matrix(data[, c("x1", "x2", "x3")])),
    causes = fits, times_days = at, incidence = incidence(data, fits, new, at)
  )
  if (!truncated && step < 0.01 && is.null(theta)) {
    result$csc <- aperm(csc(data, new, at), c(1, 3, 2))
  }
  result
}

cases <- list(
  case("no ties", 1, 120, 1e-6, FALSE, NULL),
  case("heavy ties", 2, 150, 10, FALSE, NULL),
  case("heavy ties, ridge", 3, 150, 10, FALSE, 5),
  case("strong ridge", 4, 100, 1, FALSE, 40),
  case("left truncation", 5, 150, 1, TRUE, NULL),
  case("left truncation, heavy ties", 6, 200, 10, TRUE, NULL),
  case("left truncation, heavy ties, ridge", 7, 200, 10, TRUE, 5)
)
versions <- sapply(c("survival", "riskRegression", "jsonlite"), function(p) as.character(packageVersion(p)))
golden <- list(R = R.version.string, packages = as.list(versions), cases = cases)
writeLines(toJSON(golden, digits = NA, auto_unbox = TRUE), commandArgs(trailingOnly = TRUE)[1])

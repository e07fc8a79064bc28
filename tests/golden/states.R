# Golden values for multi-state processes, computed with R. Run by hand:
#
#     Rscript tests/golden/states.R tests/golden/states.json
#
# The simulated illness-death-relapse process (fixed seed) is stored with its results: once in whole days, so that moves
# tie, with late entry, and once in continuous time with two covariates. Of mgus2 (malignancy, death) only results are
# stored.
#
# Occupation probabilities and their standard errors (infinitesimal jackknife by patient), of patients who count alike and
# by weights: survival::survfit with id and istate. Restricted mean times in states: summary(survfit, rmean). Their standard errors: residuals of type auc, summed
# by patient. One patient's probabilities: survfit of a multi-state coxph (Breslow's ties; there are none).

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})

states <- c("event-free", "infection", "relapse", "death")

# Hazards a day from each state to each; after an infection relapse and death come sooner, the longer it took the more.
simulate <- function(n, whole_days, late) {
  rows <- list()
  for (id in seq_len(n)) {
    x <- c(rnorm(1), rbinom(1, 1, 0.5))
    risk <- exp(c(0.5 * x[1], 0.3 * x[2]))
    censored <- runif(1, 100, 900)
    entry <- if (late && runif(1) < 0.3) runif(1, 5, 120) else 0
    state <- 1
    now <- 0
    while (state < 4 && now < censored) {
      hazard <- switch(state,
        c(0, 0.0020 * risk[1], 0.0015 * risk[2], 0.0005),
        c(0, 0, 0.0025 * risk[2] * (1 + now / 300), 0.0020 * risk[1]),
        c(0, 0, 0, 0.0040 * risk[1]))
      time <- now + rexp(1, sum(hazard))
      target <- sample(4, 1, prob = hazard)
      if (whole_days) time <- max(ceiling(time), now + 1)
      end <- min(time, if (whole_days) ceiling(censored) else censored)
      if (end > entry) {
        rows[[length(rows) + 1]] <- data.frame(
          id = id, start = max(now, entry), stop = end, state = state - 1,
          next_state = if (time <= censored) target - 1 else -1, entered = now, x1 = x[1], x2 = x[2])
      }
      now <- time
      state <- target
    }
  }
  d <- do.call(rbind, rows)
  if (whole_days) d$start <- floor(d$start)
  d <- d[d$start < d$stop, ]
  d$id <- match(d$id, unique(d$id)) - 1
  d
}

survfit_of <- function(d, names, weight = rep(1, nrow(d))) {
  d$event <- factor(ifelse(d$next_state < 0, 0, d$next_state), 0:(length(names) - 1), c("none", names[-1]))
  d$from <- factor(names[d$state + 1], names)
  p0 <- c(1, rep(0, length(names) - 1))
  d$weight <- weight
  rows <<- d  # residuals look for the data by name
  survfit(Surv(start, stop, event) ~ 1, rows, id = id, istate = from, weights = weight, p0 = p0, start.time = 0)
}

nonparametric <- function(d, names, times) {
  fit <- survfit_of(d, names)
  order <- match(names, fit$states)
  at <- summary(fit, times = times)
  mean_of <- function(tau) summary(fit, rmean = tau)$table[order, "rmean"]
  error_of <- function(tau) {
    r <- residuals(fit, times = tau, type = "auc", collapse = TRUE)
    sqrt(colSums(matrix(r, nrow = dim(r)[1])^2))[order]
  }
  list(times = times, pstate = at$pstate[, order], std_err = at$std.err[, order],
       days = t(sapply(times, mean_of)), days_err = t(sapply(times, error_of)))
}

# Patients count as much as their weights say, which are taken as known.
weighted <- function(d, names, times) {
  weight <- 0.5 + (d$id %% 7) / 4
  fit <- survfit_of(d, names, weight)
  order <- match(names, fit$states)
  at <- summary(fit, times = times)
  mean_of <- function(tau) summary(fit, rmean = tau)$table[order, "rmean"]
  list(times = times, weight = tapply(weight, d$id, mean), pstate = at$pstate[, order], std_err = at$std.err[, order],
       days = t(sapply(times, mean_of)))
}

transition_cox <- function(d, times) {
  d$event <- factor(ifelse(d$next_state < 0, 0, d$next_state), 0:3, c("none", states[-1]))
  d$from <- factor(states[d$state + 1], states)
  fit <- coxph(Surv(start, stop, event) ~ x1 + x2, d, id = id, istate = from, ties = "breslow",
               control = coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100))
  patients <- data.frame(x1 = c(0, 1.5, -1), x2 = c(0, 1, 1))
  curves <- survfit(fit, newdata = patients, p0 = c(1, 0, 0, 0))
  order <- match(states, curves$states)
  at <- summary(curves, times = times)
  one <- function(k) at$pstate[, k, order]
  cmap <- fit$cmap
  list(times = times, patients = patients, pstate = lapply(1:3, one), transitions = colnames(cmap),
       beta = matrix(coef(fit)[cmap[c("x1", "x2"), ]], nrow = 2))
}

# Wald tests that the day of entry into a state, by 30 days, does not matter for the way out.
markov <- function(d) {
  one <- function(from, to) {
    own <- d[d$state == from, ]
    own$late <- own$entered / 30
    fit <- coxph(Surv(start, stop, next_state == to) ~ late, own, control = coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100))
    list(from = from, to = to, beta = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))))
  }
  list(one(1, 2), one(1, 3), one(2, 3))
}

malignancy_and_death <- function() {
  d <- mgus2
  rows <- lapply(seq_len(nrow(d)), function(i) {
    p <- d[i, ]
    progressed <- p$pstat == 1
    # Death in the month of the malignancy comes half a month later.
    end <- if (progressed && p$futime <= p$ptime) p$ptime + 0.5 else p$futime
    first <- data.frame(id = i - 1, start = 0, stop = if (progressed) p$ptime else end, state = 0,
                        next_state = if (progressed) 1 else if (p$death == 1) 2 else -1, entered = 0)
    second <- if (progressed) data.frame(id = i - 1, start = p$ptime, stop = end, state = 1,
                                         next_state = if (p$death == 1) 2 else -1, entered = p$ptime)
    rbind(first, second)
  })
  do.call(rbind, rows)
}

set.seed(20)
tied <- simulate(250, TRUE, TRUE)
smooth <- simulate(300, FALSE, FALSE)
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival")),
                  jsonlite = as.character(packageVersion("jsonlite"))),
  states = states,
  tied = list(data = tied, results = nonparametric(tied, states, c(60, 180, 365)), markov = markov(tied)),
  smooth = list(data = smooth, results = nonparametric(smooth, states, c(90, 365)),
                weighted = weighted(smooth, states, c(90, 365)), cox = transition_cox(smooth, c(90, 365))),
  mgus2 = list(results = nonparametric(malignancy_and_death(), c("event-free", "malignancy", "death"), c(60, 120, 240)))
)
write(toJSON(out, digits = NA, dataframe = "columns", auto_unbox = TRUE), commandArgs(TRUE)[1])

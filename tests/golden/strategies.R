# Golden values for strategies that say when treatment starts, computed with R. Run by hand:
#
#     Rscript tests/golden/strategies.R tests/golden/strategies.json shared/data/competing_risks
#
# Simulated patients (fixed seed) are stored with their results: of each strategy, clones are made day by day, weighted by a
# known probability of starting, and censored when they deviate; incidences and times lost are those of survival::survfit with
# weights. Of icu_pneumonia_tdc only results are stored: survival::coxph with pneumonia as a time-dependent covariate, and
# survival::survfit of the illness-death process with a last state for each cause and each way to it.

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})

# --- simulated -------------------------------------------------------------------------------------------------------
set.seed(20261129)
n <- 150
n_days <- 60
grace <- 15
patients <- data.frame(id = seq_len(n), x = round(rnorm(n), 3), early = round(rnorm(n), 3), late = round(rnorm(n), 3),
                       end = 1 + floor(rexp(n, 0.015)), cause = sample(0:2, n, TRUE, c(0.3, 0.5, 0.2)))
value <- function(patient, day) ifelse(day < 25, patient$early, patient$late)  # changes on day 25
chance <- function(patient, day) plogis(-3.2 + 0.6 * patient$x + 0.5 * value(patient, day))
patients$start <- sapply(seq_len(n), function(i) {
  begins <- which(runif(n_days) < chance(patients[i, ], 0:(n_days - 1))) - 1
  if (length(begins) && begins[1] < patients$end[i]) begins[1] else n_days
})

asked <- list(  # probability of a start on a day, of who has not started
  "never" = function(patient, day) 0,
  "start by day 15" = function(patient, day) if (day <= grace) 1 / (grace - day + 1) else 0,
  "start once value < 0" = function(patient, day) {
    low <- which(value(patient, 0:(n_days - 1)) < 0) - 1
    if (!length(low) || day < low[1] || day > low[1] + grace) 0 else 1 / (low[1] + grace - day + 1)
  }
)

clones_of <- function(strategy) {
  rows <- list()
  for (i in seq_len(n)) {
    one <- patients[i, ]
    weight <- 1
    for (day in 0:(min(one$end, n_days) - 1)) {
      if (day <= one$start) {
        q <- strategy(one, day)
        p <- chance(one, day)
        weight <- weight * if (day == one$start) q / p else (1 - q) / (1 - p)
      }
      if (weight == 0) break
      cause <- if (day + 1 == one$end) one$cause else 0
      rows[[length(rows) + 1]] <- c(id = i, begin = day, stop = day + 1, cause = cause, weight = weight)
    }
  }
  as.data.frame(do.call(rbind, rows))
}

times <- c(10, 30, 60)
strategies <- lapply(names(asked), function(name) {
  clones <- clones_of(asked[[name]])
  clones$state <- factor(clones$cause, 0:2)
  clones$row <- seq_len(nrow(clones))  # by patient, survfit 3.5 would take a patient's first weight for all days
  fit <- survfit(Surv(begin, stop, state) ~ 1, clones, id = row, weights = weight)
  at <- summary(fit, times = times, extend = TRUE)
  lost <- sapply(times, function(t) summary(fit, rmean = t)$table[2:3, "rmean"])
  last <- clones[clones$stop == 30, ]
  list(name = name, incidence = lapply(1:2, function(k) at$pstate[, k + 1]), lost = lapply(1:2, function(k) lost[k, ]),
       n_followed = nrow(last), effective = sum(last$weight)^2 / sum(last$weight^2))
})

# --- intensive care --------------------------------------------------------------------------------------------------
icu <- read.csv(file.path(commandArgs(trailingOnly = TRUE)[2], "icu_pneumonia_tdc.csv"))
control <- coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100)
ratio <- function(right, cause) {
  fit <- coxph(as.formula(sprintf("Surv(start, stop, event == %d) ~ %s", cause, right)), icu, control = control)
  list(beta = unname(coef(fit)[1]), se = unname(sqrt(vcov(fit)[1, 1])))
}
icu <- icu[order(icu$id, icu$start), ]
goes_on <- c(icu$id[-1] == icu$id[-nrow(icu)], FALSE)
states <- c("with", "death, without", "discharge, without", "death, with", "discharge, with")
to <- ifelse(goes_on, 1, ifelse(icu$event == 0, 0, 1 + icu$event + 2 * icu$pneu))
icu$to <- factor(to, 0:5, c("censor", states))
icu$from <- ifelse(icu$pneu == 1, "with", "without")
fit <- survfit(Surv(start, stop, to) ~ 1, icu, id = id, istate = from)
icu_times <- c(5, 10, 30, 60)
at <- summary(fit, times = icu_times)
order_of <- match(c("without", states), fit$states)
intensive_care <- list(
  plain = lapply(1:2, function(k) ratio("pneu", k)), adjusted = lapply(1:2, function(k) ratio("pneu + age + sex", k)),
  times = icu_times, states = c("without", states), probability = at$pstate[, order_of], se = at$std.err[, order_of]
)

packages <- c("survival", "jsonlite")
versions <- c(R = R.version.string, sapply(packages, function(p) as.character(packageVersion(p))))
golden <- list(versions = as.list(versions), patients = patients, n_days = n_days, grace = grace, times = times,
               strategies = strategies, intensive_care = intensive_care)
writeLines(toJSON(golden, digits = 15, auto_unbox = TRUE, dataframe = "columns", matrix = "rowmajor"),
           commandArgs(trailingOnly = TRUE)[1])

# Golden values for tests of many markers, computed with R. Run by hand:
#
#     Rscript tests/golden/biomarkers.R tests/golden/biomarkers.json
#
# Simulated patients (fixed seed; whole weeks, so that durations tie) in three centres and two arms, with two covariates and
# four markers, one of which was not measured in everybody. The data are stored with the results.
#
# Cause-specific score test: survival::coxph (Efron's ties), started at the maximum of the model without the marker; with strata,
# with covariates, and with late entry. Subdistribution: survival::finegray by stratum, then a weighted coxph (Breslow's ties)
# started likewise; the standard error of the coefficient is robust by patient. cmprsk::crr on days that do not tie, whose coefficient
# is the same and whose standard error also has the censoring weights' own. False discovery rates: p.adjust. Interaction: the Wald test of
# marker × arm in one coxph with a baseline hazard for each arm and centre.

suppressPackageStartupMessages({
  library(survival)
  library(cmprsk)
  library(jsonlite)
})

set.seed(20261129)
n <- 240
data <- data.frame(centre = sample(1:3, n, TRUE), arm = sample(0:1, n, TRUE), z1 = rnorm(n), z2 = rbinom(n, 1, 0.4))
data$g1 <- rnorm(n) + 0.5 * data$z1
data$g2 <- rnorm(n)
data$g3 <- rbinom(n, 1, 0.3)
data$g4 <- ifelse(runif(n) < 0.25, NA, rnorm(n))
first <- rexp(n, 0.004 * exp(0.4 * data$g1 + 0.3 * data$z1 + 0.5 * data$g2 * data$arm + 0.2 * data$centre))
second <- rexp(n, 0.003 * exp(-0.3 * data$g3))
censoring <- pmin(rexp(n, 0.002), 500)
earliest <- pmin(first, second, censoring)
data$exact <- earliest
data$time <- 7 * ceiling(earliest / 7)
data$event <- ifelse(earliest == censoring, 0, ifelse(earliest == first, 1, 2))
data$entry <- ifelse(runif(n) < 0.4, 7 * floor(runif(n) * earliest / 7), 0)
markers <- paste0("g", 1:4)
control <- coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100)

score_of <- function(marker, cause, covariates, strata, entry) {
  own <- data[!is.na(data[[marker]]), ]
  left <- sprintf(if (entry) "Surv(entry, time, event == %d)" else "Surv(time, event == %d)", cause)
  right <- paste(c("1", covariates, if (strata) "strata(centre)"), collapse = " + ")
  start <- 0
  if (length(covariates)) start <- c(coef(coxph(as.formula(paste(left, "~", right)), own, control = control)), 0)
  full <- as.formula(paste(left, "~", paste(c(covariates, marker, if (strata) "strata(centre)"), collapse = " + ")))
  fit <- coxph(full, own, init = start, control = coxph.control(iter.max = 0, toler.chol = 1e-15))
  best <- coxph(full, own, control = control)
  list(score = unname(fit$score), beta = unname(coef(best)[marker]), se = unname(sqrt(vcov(best)[marker, marker])))
}

subdistribution_of <- function(marker, cause, covariates, strata) {
  own <- data[!is.na(data[[marker]]), ]
  own$id <- seq_len(nrow(own))
  own$state <- factor(own$event, 0:2)
  names <- c(covariates, marker)
  by <- paste(c(names, "id", if (strata) "strata(centre)"), collapse = " + ")
  long <- finegray(as.formula(paste("Surv(time, state) ~", by)), own, etype = as.character(cause))
  if (strata) long$centre <- own$centre[long$id]
  model <- function(terms, init = rep(0, length(terms)), iterations = 100) {
    right <- paste(c(terms, if (strata) "strata(centre)"), collapse = " + ")
    coxph(as.formula(paste("Surv(fgstart, fgstop, fgstatus) ~", right)), long, weights = fgwt, cluster = id, ties = "breslow",
          init = init, control = coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = iterations))
  }
  best <- model(names)
  start <- c(if (length(covariates)) coef(model(covariates)), 0)
  fit <- model(names, start, 0)
  list(score = unname(fit$score), beta = unname(coef(best)[marker]), se = unname(sqrt(vcov(best)[marker, marker])))
}

tests_of <- function(marker, cause) {
  both <- c("z1", "z2")
  crr <- with(data[!is.na(data[[marker]]), ], crr(exact, event, get(marker), failcode = cause, gtol = 1e-12))
  own <- data[!is.na(data[[marker]]), ]
  joint <- coxph(as.formula(sprintf("Surv(time, event == %d) ~ %s + %s:arm + strata(arm, centre)", cause, marker, marker)), own,
                 control = control)
  wald <- coef(joint)[2]^2 / vcov(joint)[2, 2]
  list(
    marker = marker, cause = cause,
    cox = list(plain = score_of(marker, cause, NULL, FALSE, FALSE), stratified = score_of(marker, cause, NULL, TRUE, FALSE),
               adjusted = score_of(marker, cause, both, TRUE, FALSE), late = score_of(marker, cause, both, TRUE, TRUE)),
    fine_gray = list(plain = subdistribution_of(marker, cause, NULL, FALSE),
                     stratified = subdistribution_of(marker, cause, NULL, TRUE),
                     adjusted = subdistribution_of(marker, cause, both, TRUE)),
    crr = list(beta = unname(crr$coef), se = unname(sqrt(crr$var[1, 1]))),
    interaction = unname(wald)
  )
}

tests <- do.call(c, lapply(markers, function(marker) lapply(1:2, function(cause) tests_of(marker, cause))))
p <- c(0.001, 0.2, 0.013, NA, 0.04, 0.04, 0.9, 0.0005, 0.051)
packages <- c("survival", "cmprsk", "jsonlite")
versions <- c(R = R.version.string, sapply(packages, function(p) as.character(packageVersion(p))))
golden <- list(versions = as.list(versions), data = data, tests = tests, adjusted = list(p = p, bh = p.adjust(p, "BH")))
writeLines(toJSON(golden, digits = 15, auto_unbox = TRUE, dataframe = "columns", na = "null"), commandArgs(trailingOnly = TRUE)[1])

# Golden values for the evaluation metrics, computed with R. Run by hand:
#
#     Rscript tests/golden/evaluation.R tests/golden/evaluation.json [melanoma_cr.csv]
#
# The first data set is simulated here (fixed seed; whole weeks, so that durations tie) and is stored with its results.
# Of the melanoma study only results are stored; without its file the ones already in the JSON are kept.

suppressMessages({
  library(survival)
  library(prodlim)
  library(cmprsk)
  library(riskRegression)
  library(pec)
  library(jsonlite)
})

arguments <- commandArgs(trailingOnly = TRUE)
target <- arguments[1]

# A list of predictions as Score takes them: one column for each time.
score <- function(risk, data, cause, times) {
  fit <- Score(list(model = risk), formula = Hist(time, event) ~ 1, data = data, cause = cause, times = times,
               cens.model = "km", metrics = c("Brier", "AUC"), summary = "ipa", se.fit = FALSE, null.model = TRUE)
  brier <- fit$Brier$score
  model <- brier[brier$model == "model", ]
  null <- brier[brier$model == "Null model", ]
  grid <- c(0, times)
  value <- c(0, model$Brier)
  trapezoid <- sum(diff(grid) * (head(value, -1) + tail(value, -1)) / 2) / max(times)
  list(brier = model$Brier, null = null$Brier, ipa = model$IPA, auc = fit$AUC$score$AUC, ibs = trapezoid)
}

concordance <- function(risk, data, cause, tau) {
  fit <- pec::cindex(list(model = matrix(risk, ncol = 1)), formula = Hist(time, event) ~ 1, data = data, cause = cause,
                     eval.times = tau, pred.times = tau, cens.model = "marginal", verbose = FALSE)
  fit$AppCindex$model
}

scores <- function(risks, data, times, tau_column) {
  lapply(seq_along(risks), function(cause) {
    result <- score(risks[[cause]], data, cause, times)
    result$concordance <- concordance(risks[[cause]][, tau_column], data, cause, times[tau_column])
    result
  })
}

# --- simulated -------------------------------------------------------------------------------------------------------
set.seed(20240607)
n <- 150
x <- round(rnorm(n), 1)
first <- rexp(n, 0.0015 * exp(0.7 * x))
second <- rexp(n, 0.0010 * exp(-0.4 * x))
censoring <- pmin(rexp(n, 0.0009), 700)
earliest <- pmin(first, second, censoring)
data <- data.frame(
  time = 7 * ceiling(earliest / 7),
  event = ifelse(earliest == censoring, 0, ifelse(earliest == first, 1, 2)),
  x = x
)
data$entry <- ifelse(runif(n) < 0.4, pmin(7 * floor(runif(n, 0, 40)), data$time - 7), 0)
times <- c(90, 182, 365, 595) # 182 and 595 are whole weeks: they tie with events and with a censoring
risk_of <- function(shift, slope, x, times) {
  sapply(times, function(t) 1 - exp(-t * exp(shift + slope * x) / 1000))
}
risks <- list(0.9 * risk_of(0.3, 0.6, x, times), 0.5 * risk_of(0.2, -0.3, x, times))

aj <- prodlim(Hist(time, event) ~ 1, data = data)
km <- prodlim(Hist(time, event != 0) ~ 1, data = data, reverse = TRUE)
gray <- timepoints(cuminc(data$time, data$event), times)$est
late <- survfit(Surv(entry, time, factor(event, 0:2)) ~ 1, data = data, id = seq_len(n))
multi <- survfit(Surv(time, factor(event, 0:2)) ~ 1, data = data, id = seq_len(n))
jackknife <- pseudo(multi, times = times, type = "pstate")
at <- summary(multi, times = times)

simulated <- list(
  time = data$time, event = data$event, entry = data$entry, x = data$x, times = times,
  risks = lapply(risks, function(r) r),
  aalen_johansen = list(times = aj$time, incidence = list(aj$cuminc[[1]], aj$cuminc[[2]])),
  reverse_kaplan_meier = list(times = km$time, survival = km$surv),
  cuminc = list(as.numeric(gray[1, ]), as.numeric(gray[2, ])),
  delayed_entry = list(times = late$time, incidence = list(late$pstate[, 2], late$pstate[, 3])),
  pseudo = list(jackknife[, , 2], jackknife[, , 3]),
  std_err = list(at$std.err[, 2], at$std.err[, 3]),
  scores = scores(risks, data, times, 4)
)
rownames(simulated$pseudo[[1]]) <- colnames(simulated$pseudo[[1]]) <- NULL
rownames(simulated$pseudo[[2]]) <- colnames(simulated$pseudo[[2]]) <- NULL

# --- melanoma --------------------------------------------------------------------------------------------------------
if (length(arguments) > 1) {
  melanoma <- read.csv(arguments[2])
  times_m <- c(730, 1500, 2500, 3500)
  risks_m <- list(risk_of(-2.5, 0.7, melanoma$logthick, times_m),
                  0.5 * risk_of(-4.5, 0.05, melanoma$age - 50, times_m))
  results <- list(times = times_m, scores = scores(risks_m, melanoma, times_m, 4))
} else {
  results <- fromJSON(target, simplifyVector = FALSE)$melanoma
}

packages <- c("survival", "prodlim", "cmprsk", "riskRegression", "pec")
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."),
              sapply(packages, function(p) as.character(packageVersion(p))))
write(toJSON(list(versions = as.list(versions), simulated = simulated, melanoma = results),
             digits = 15, auto_unbox = TRUE), target)

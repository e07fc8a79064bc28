# Golden values for the selection of patients by a threshold, computed with R. Run by hand:
#
#     Rscript tests/golden/patient_selection.R tests/golden/evaluation.json tests/golden/patient_selection.json
#
# The study and its predictions are the simulated ones of evaluation.R. Sensitivity and specificity are the points of
# riskRegression's ROC curve (marginal censoring model), which moves at each predicted risk; risks of those selected and
# of the others are survival's Aalen-Johansen estimates within them.

suppressMessages({
  library(survival)
  library(prodlim)
  library(riskRegression)
  library(data.table)
  library(jsonlite)
})

arguments <- commandArgs(trailingOnly = TRUE)
study <- fromJSON(arguments[1])$simulated
data <- data.frame(time = study$time, event = study$event)
thresholds <- c(0.1, 0.2, 0.3, 0.45)

# NA where nobody is followed to the horizon.
incidence <- function(rows, cause, horizon) {
  if (all(data$time[rows] < horizon)) return(NA)
  fit <- survfit(Surv(time, factor(event, 0:2)) ~ 1, data = data[rows, ], id = seq_len(sum(rows)))
  summary(fit, times = horizon)$pstate[1, cause + 1]
}

# The ROC curve at the lowest predicted risk that reaches the threshold.
roc_point <- function(risk, cause, horizon, threshold) {
  fit <- Score(list(model = matrix(risk, ncol = 1)), formula = Hist(time, event) ~ 1, data = data, cause = cause,
               times = horizon, cens.model = "km", metrics = "AUC", plots = "ROC", se.fit = FALSE, null.model = FALSE)
  curve <- fit$ROC$plotframe
  at <- curve[curve$risk >= threshold, ]
  at <- at[which.min(at$risk), ]
  list(sensitivity = at$TPR, specificity = 1 - at$FPR)
}

results <- list()
for (cause in 1:2) {
  for (j in c(2, 4)) {
    risk <- study$risks[cause, , j]
    for (threshold in thresholds) {
      selected <- risk >= threshold
      if (sum(selected) < 10 || sum(!selected) < 10) next
      row <- list(cause = cause, horizon = study$times[j], column = j - 1, threshold = threshold,
                  selected = sum(selected), ppv = incidence(selected, cause, study$times[j]),
                  below = incidence(!selected, cause, study$times[j]))
      results[[length(results) + 1]] <- c(row, roc_point(risk, cause, study$times[j], threshold))
    }
  }
}

packages <- c("survival", "prodlim", "riskRegression")
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."),
              sapply(packages, function(p) as.character(packageVersion(p))))
write(toJSON(list(versions = as.list(versions), selections = results), digits = 15, auto_unbox = TRUE, na = "null"), arguments[2])

# Golden values for comparisons of arms, computed with R. Run by hand:
#
#     Rscript tests/golden/effects.R tests/golden/effects.json shared/data/competing_risks
#
# The simulated study (fixed seed; whole weeks, so that durations tie) is stored with its results. Of the real studies only
# results are stored: mgus2 by sex, ebmt2 by disease within match, okiss by type of transplant within sex, and cgd.
#
# Gray's test: cmprsk::cuminc. Log-rank test: survival::survdiff. Hazard ratios: survival::coxph (Efron's ties), robust by
# cluster where there is one. Subdistribution: survival::finegray by stratum, then a weighted coxph with Breslow's ties and
# standard errors robust by patient. Incidence, its standard error and the time lost: survival::survfit, whose standard errors
# are the infinitesimal jackknife's. Recurrent events: coxph and survfit on counting-process rows.

suppressPackageStartupMessages({
  library(survival)
  library(cmprsk)
  library(jsonlite)
})

tests_of <- function(data, causes) {
  one <- function(strata) {
    gray <- if (strata) cuminc(data$time, data$event, data$arm, data$stratum) else cuminc(data$time, data$event, data$arm)
    right <- if (strata) "arm + strata(stratum)" else "arm"
    logrank <- sapply(causes, function(k) {
      survdiff(as.formula(sprintf("Surv(time, event == %d) ~ %s", k, right)), data)$chisq
    })
    list(gray = unname(gray$Tests[as.character(causes), "stat"]), gray_p = unname(gray$Tests[as.character(causes), "pv"]),
         logrank = logrank)
  }
  list(plain = one(FALSE), stratified = one(TRUE))
}

control <- coxph.control(eps = 1e-12, toler.chol = 1e-15, iter.max = 100)

cox_of <- function(data, causes) {
  lapply(causes, function(k) {
    one <- function(right) {
      fit <- coxph(as.formula(sprintf("Surv(time, event == %d) ~ %s", k, right)), data, control = control)
      list(beta = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))))
    }
    robust <- coxph(as.formula(sprintf("Surv(time, event == %d) ~ arm", k)), data, control = control, cluster = cluster)
    list(plain = one("arm"), stratified = one("arm + strata(stratum)"),
         robust = list(beta = unname(coef(robust)), se = unname(sqrt(diag(vcov(robust))))))
  })
}

fine_gray_of <- function(data, causes) {
  data$state <- factor(data$event, 0:max(causes))
  data$id <- seq_len(nrow(data))
  lapply(causes, function(k) {
    one <- function(strata) {
      long <- if (strata) {
        finegray(Surv(time, state) ~ arm + id + strata(stratum), data, etype = as.character(k))
      } else {
        finegray(Surv(time, state) ~ arm + id, data, etype = as.character(k))
      }
      right <- if (strata) "arm + strata(stratum)" else "arm"
      if (strata) long$stratum <- data$stratum[long$id]
      fit <- coxph(as.formula(paste("Surv(fgstart, fgstop, fgstatus) ~", right)), long, weights = fgwt, cluster = id,
                   ties = "breslow", control = control)
      list(beta = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))))
    }
    list(plain = one(FALSE), stratified = one(TRUE))
  })
}

curves_of <- function(data, causes, times) {
  data$state <- factor(data$event, 0:max(causes))
  data$id <- seq_len(nrow(data))
  lapply(split(data, data$arm), function(own) {
    own <<- own  # residuals looks for it again
    fit <- survfit(Surv(time, state) ~ 1, own, id = id)
    at <- summary(fit, times = times, extend = TRUE)
    lost <- lapply(times, function(t) summary(fit, rmean = t)$table)
    change <- residuals(fit, times = times, type = "auc")  # (patients, times, states): the infinitesimal jackknife
    list(
      incidence = lapply(causes, function(k) at$pstate[, k + 1]), se = lapply(causes, function(k) at$std.err[, k + 1]),
      lost = lapply(causes, function(k) sapply(lost, function(l) l[k + 1, "rmean"])),
      lost_se = lapply(causes, function(k) unname(sqrt(colSums(change[, , k + 1]^2))))
    )
  })
}

# Everyone together, each row with a weight of its own: incidence with standard errors robust by patient.
weighted_of <- function(data, causes, times) {
  data$state <- factor(data$event, 0:max(causes))
  data$id <- seq_len(nrow(data))
  data$weight <- 0.5 + data$cluster / 20
  fit <- survfit(Surv(time, state) ~ 1, data, id = id, weights = weight)
  at <- summary(fit, times = times, extend = TRUE)
  list(weight = data$weight, incidence = lapply(causes, function(k) at$pstate[, k + 1]),
       se = lapply(causes, function(k) at$std.err[, k + 1]))
}

case <- function(name, data, causes, times) {
  data$arm <- factor(data$arm)
  list(name = name, arms = levels(data$arm), times = times, tests = tests_of(data, causes), cox = cox_of(data, causes),
       fine_gray = fine_gray_of(data, causes), curves = unname(curves_of(data, causes, times)))
}

# --- simulated -------------------------------------------------------------------------------------------------------
set.seed(20261128)
n <- 180
simulated <- data.frame(arm = sample(c("a", "b", "c"), n, TRUE), stratum = sample(1:3, n, TRUE), cluster = sample(1:40, n, TRUE))
effect <- c(a = 0, b = 0.7, c = -0.3)[simulated$arm]
first <- rexp(n, 0.004 * exp(effect + 0.2 * simulated$stratum))
second <- rexp(n, 0.002 * exp(-effect / 2))
censoring <- pmin(rexp(n, 0.002), 500)
earliest <- pmin(first, second, censoring)
simulated$time <- 7 * ceiling(earliest / 7)
simulated$event <- ifelse(earliest == censoring, 0, ifelse(earliest == first, 1, 2))

folder <- commandArgs(trailingOnly = TRUE)[2]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
mgus2 <- read("mgus2")
mgus2 <- transform(mgus2, arm = sex, stratum = findInterval(age, c(65, 75)), cluster = dxyr)
ebmt2 <- read("ebmt2_cause_of_death")
ebmt2 <- transform(ebmt2, arm = dissub, stratum = match, cluster = seq_along(time) %% 500)
okiss <- read("okiss_bsi_after_sct")
okiss <- transform(okiss, arm = allo, stratum = sex, cluster = seq_along(time) %% 100)
cases <- list(
  c(case("simulated", simulated, 1:2, c(63, 182, 364)), list(data = simulated, weighted = weighted_of(simulated, 1:2, c(63, 182, 364)))),
  case("mgus2", mgus2, 1:2, c(60, 120, 240)),
  case("ebmt2_cause_of_death", ebmt2, 1:6, c(6, 24, 60)),
  case("okiss_bsi_after_sct", okiss, 1:3, c(7, 14, 21))
)

# --- recurrent events ------------------------------------------------------------------------------------------------
cgd <- read("cgd_recurrent_infections")
cgd$arm <- factor(cgd$treat, c("placebo", "rIFN-g"))
ratio <- function(right) {
  fit <- coxph(as.formula(paste("Surv(tstart, tstop, status) ~", right)), cgd, control = control)
  robust <- coxph(as.formula(paste("Surv(tstart, tstop, status) ~", right)), cgd, control = control, cluster = id)
  list(beta = unname(coef(fit)), andersen_gill = unname(sqrt(vcov(fit)[1, 1])), lwyy = unname(sqrt(vcov(robust)[1, 1])),
       low = unname(exp(confint(robust))[1]), high = unname(exp(confint(robust))[2]))
}
at <- c(90, 180, 270, 360)
counts <- lapply(split(cgd, cgd$arm), function(own) {
  fit <- survfit(Surv(tstart, tstop, status) ~ 1, own, id = id, robust = TRUE)
  place <- findInterval(at, fit$time)
  list(mean = fit$cumhaz[place], se = fit$std.chaz[place])
})
recurrent <- list(times = at, arms = levels(cgd$arm), plain = ratio("arm"), stratified = ratio("arm + strata(hos_cat)"),
                  counts = unname(counts))

packages <- c("survival", "cmprsk", "jsonlite")
versions <- c(R = R.version.string, sapply(packages, function(p) as.character(packageVersion(p))))
golden <- list(versions = as.list(versions), cases = cases, recurrent = recurrent)
writeLines(toJSON(golden, digits = 15, auto_unbox = TRUE, dataframe = "columns"), commandArgs(trailingOnly = TRUE)[1])

# Golden values for the elastic-net Cox model, computed with R. Run by hand:
#
#     Rscript tests/golden/elastic_net.R tests/golden/elastic_net.json
#
# glmnet's Cox model minimises -log partial likelihood / n + lambda (alpha |b|_1 + (1 - alpha) / 2 |b|^2): lambda = penalty / n.
# Ties are Breslow's there and Efron's here: the data have none. No left truncation either: with Surv(start, stop, event)
# glmnet 4.1-6 stops where the derivatives of coxph's log likelihood are not yet those of the optimum.

suppressPackageStartupMessages({
  library(survival)
  library(glmnet)
  library(jsonlite)
})

case <- function(name, seed, n, p, alpha, penalty) {
  set.seed(seed)
  x <- matrix(rnorm(n * p), n)
  x[, 2] <- x[, 1] + 0.3 * x[, 2] # two features that are nearly one
  effect <- c(0.8, 0, -0.6, 0.3, rep(0, p - 4))
  latent <- cbind(rexp(n, 0.005), rexp(n, 0.010 * exp(x %*% effect)), rexp(n, 0.008))
  duration <- apply(latent, 1, min)
  cause <- apply(latent, 1, which.min) - 1
  y <- Surv(duration, cause == 1)
  path <- penalty / n * c(8, 4, 2, 1)
  fit <- glmnet(x, y, family = "cox", alpha = alpha, lambda = path, standardize = FALSE, thresh = 1e-16, maxit = 1e7)
  list(
    name = name, l1_ratio = alpha, penalty = penalty, duration_days = duration, cause = cause,
    x = x, beta = as.vector(coef(fit)[, 4])
  )
}

cases <- list(
  case("lasso", 1, 120, 8, 1, 6),
  case("elastic net", 2, 120, 8, 0.5, 10),
  case("mostly ridge", 3, 120, 8, 0.1, 20),
  case("more features than rows", 4, 40, 60, 0.5, 4)
)
versions <- sapply(c("survival", "glmnet", "jsonlite"), function(p) as.character(packageVersion(p)))
golden <- list(R = R.version.string, packages = as.list(versions), cases = cases)
writeLines(toJSON(golden, digits = NA, auto_unbox = TRUE), commandArgs(trailingOnly = TRUE)[1])

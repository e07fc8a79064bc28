# Golden values for comparisons of two groups of patients, computed with R. Run by hand:
#
#     Rscript tests/golden/differential.R tests/golden/differential.json
#
# Simulated pseudobulks (fixed seed): 16 patients in two groups with a covariate, 150 genes of which 15 differ, some hardly
# read. The data are stored with the results.
#
# Expression: DESeq2 (size factors by medians of ratios, and by those of counts above 0; parametric trend of dispersions; Wald
# tests, no independent filtering). apeglm is not in Debian, so that shrunken fold changes are not compared. Genes with counts
# enough: edgeR::filterByExpr. Abundance: MASS::glm.nb for theta, then the generalised linear model of that theta, whose
# summary has Pearson's dispersion and Student's t; numbers of cells are overdispersed, so that this dispersion is above 1 in
# some and below in others. Linear models: lm.

suppressPackageStartupMessages({
  library(DESeq2)
  library(edgeR)
  library(MASS)
  library(jsonlite)
})

set.seed(20261129)
n <- 16
n_genes <- 150
group <- rep(0:1, each = n / 2)
z <- round(rnorm(n), 3)
level <- exp(rnorm(n_genes, 3.5, 1.6))
change <- c(rep(c(1, -1), length.out = 15), rep(0, n_genes - 15))
dispersion <- 0.05 + 1.5 / level
depth <- exp(rnorm(n, 0, 0.4))
counts <- sapply(seq_len(n_genes), function(j) {
  rnbinom(n, mu = depth * level[j] * 2^(change[j] * group + 0.3 * z), size = 1 / dispersion[j])
})
colnames(counts) <- paste0("g", seq_len(n_genes))
rownames(counts) <- paste0("p", seq_len(n))

kept <- filterByExpr(t(counts), group = factor(group))
wald <- function(table, formula, data, type) {
  dds <- DESeqDataSetFromMatrix(t(table), data, formula)
  dds <- DESeq(dds, sfType = type, quiet = TRUE)
  found <- results(dds, name = "group", independentFiltering = FALSE)
  list(size_factors = unname(sizeFactors(dds)), mean = found$baseMean, change = found$log2FoldChange, error = found$lfcSE,
       statistic = found$stat, p = found$pvalue, dispersion = unname(dispersions(dds)))
}
data <- data.frame(group = group, z = z)
alone <- wald(counts[, kept], ~group, data, "ratio")
adjusted <- wald(counts[, kept], ~ z + group, data, "ratio")
sparse <- counts[, kept]
sparse[cbind(rep(seq_len(n), length.out = ncol(sparse)), seq_len(ncol(sparse)))] <- 0
sparse <- sparse[, filterByExpr(t(sparse), group = factor(group))]
poscounts <- wald(sparse, ~group, data, "poscounts")

n_of_all <- round(exp(rnorm(n, 6, 0.5)))
types <- list(
  abundant = rnbinom(n, mu = n_of_all * 0.3 * 2^(0.8 * group), size = 8),
  rare = rnbinom(n, mu = n_of_all * 0.02, size = 2),
  uneven = rnbinom(n, mu = n_of_all * 0.1 * exp(0.4 * z), size = 1.2)
)
abundance <- lapply(types, function(cells) {
  one <- function(formula) {
    theta <- suppressWarnings(glm.nb(formula, control = glm.control(epsilon = 1e-12, maxit = 200)))$theta
    fit <- glm(formula, family = negative.binomial(theta), control = glm.control(epsilon = 1e-12, maxit = 200))
    row <- summary(fit)$coefficients["group", ]
    list(theta = theta, estimate = unname(row[1]), error = unname(row[2]), statistic = unname(row[3]), p = unname(row[4]),
         scale = summary(fit)$dispersion)
  }
  list(n_cells = cells, alone = one(cells ~ group + offset(log(n_of_all))),
       adjusted = one(cells ~ group + z + offset(log(n_of_all))))
})

value <- round(rnorm(n) + 0.5 * group, 6)
line <- summary(lm(value ~ group + z))$coefficients["group", ]
bounds <- confint(lm(value ~ group + z))["group", ]
linear <- list(value = value, difference = unname(line[1]), statistic = unname(line[3]), p = unname(line[4]),
               low = unname(bounds[1]), high = unname(bounds[2]))

versions <- sapply(c("DESeq2", "edgeR", "MASS"), function(one) as.character(packageVersion(one)))
out <- list(versions = as.list(c(R = as.character(getRversion()), versions)), group = group, z = z, counts = unname(counts),
            kept = unname(which(kept)) - 1, sparse = unname(sparse), alone = alone, adjusted = adjusted, poscounts = poscounts,
            n_of_all = n_of_all, abundance = abundance, linear = linear)
write(toJSON(out, auto_unbox = TRUE, digits = 12), commandArgs(trailingOnly = TRUE)[1])

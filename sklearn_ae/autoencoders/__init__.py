"""One file per method: the paper's mathematics, then its estimator."""

"""Learning: from a manifest and a plan to weights, by gradients or by classical estimators."""

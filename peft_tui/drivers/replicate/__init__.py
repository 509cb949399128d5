"""Replicate: model versions, deployments without a state of their own, predictions."""

"""The Replicate cloud of the sandbox: models, deployments, predictions, trainings, files."""

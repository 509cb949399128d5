"""Predibase: adapters in numbered repositories, deployments that serve any adapter of their base."""

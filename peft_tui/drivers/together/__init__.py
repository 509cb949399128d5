"""Together AI, Dedicated Model Inference (its V2 API)."""

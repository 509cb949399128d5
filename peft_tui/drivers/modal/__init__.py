"""Modal: a vLLM server from an image, its adapter on a volume, through Modal's own SDK."""

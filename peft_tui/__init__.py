"""Deploy a LoRA adapter from the terminal it was trained in, and know what it costs."""

__version__ = "0.1.0"

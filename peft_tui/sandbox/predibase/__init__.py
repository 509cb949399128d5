"""The Predibase cloud: a control plane, and a serving plane that speaks LoRAX."""

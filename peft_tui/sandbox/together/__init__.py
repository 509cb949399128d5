"""The Together AI cloud of the sandbox: V2 dedicated inference, with what is left of V1."""

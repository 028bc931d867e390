"""The model: encoders, windows, Q-Former, connectors, LoRA, splice, and `Salmonn` itself."""

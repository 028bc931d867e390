"""The model: encoders, windows, Q-Former, connectors, LoRA, splice, and `SalmonnModel` itself."""

"""What a model can do: metrics, evaluation, LoRA-scale sweeps, Bayes' terms, activation tuning, measured claims."""

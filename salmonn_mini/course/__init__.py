"""What only notebooks use: exercises, figures, plots, diagrams."""

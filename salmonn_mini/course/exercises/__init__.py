"""What only notebooks use: exercises that name the mistake, predictions, quizzes, cards. A module a chapter."""

from salmonn_mini.course.card import card, compare
from salmonn_mini.course.exercises import (
    activation_tuning,
    encoders,
    evaluation,
    full_scale,
    instruction_tuning,
    lora,
    over_fitting,
    pretraining,
    qformer,
    salmonn,
    sound,
    tour,
    windows,
)
from salmonn_mini.course.exercises.exercise import EXERCISES, check, verdict
from salmonn_mini.course.exercises.quiz import QUIZZES, quiz

__all__ = [
    "EXERCISES",
    "QUIZZES",
    "activation_tuning",
    "card",
    "check",
    "compare",
    "encoders",
    "evaluation",
    "full_scale",
    "instruction_tuning",
    "lora",
    "over_fitting",
    "pretraining",
    "qformer",
    "quiz",
    "salmonn",
    "sound",
    "tour",
    "verdict",
    "windows",
]

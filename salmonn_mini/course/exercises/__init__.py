"""What only notebooks use: exercises that name the mistake, predictions, quizzes, cards. A module a chapter."""

from salmonn_mini.course.card import card
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
    qformer_masks,
    salmonn,
    sound,
    tour,
    windows,
)
from salmonn_mini.course.exercises.exercise import EXERCISES, check, use, verdict
from salmonn_mini.course.exercises.quiz import QUIZZES, quiz
from salmonn_mini.course.prediction import compare, predict

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
    "predict",
    "pretraining",
    "qformer",
    "qformer_masks",
    "quiz",
    "salmonn",
    "sound",
    "tour",
    "use",
    "verdict",
    "windows",
]

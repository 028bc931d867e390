"""The toy world's sentences, translations, tasks and clips."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmonn_mini.data.tasks import TASKS, get_task, tasks_of
from salmonn_mini.errors import SalmonnError
from salmonn_mini.recipes import folder
from salmonn_mini.toy.world import answers, audio_tasks, clips, facts, grammar, lexicon, story, text_tasks, translate
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Statement, split_of
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS
from salmonn_mini.toy.world.voice import phonemes
from salmonn_mini.toy.world.wordings import PATTERNS, expand, wordings

"""Strings → numbers: how answers are scored, one by one first, then over a set with its interval.

words.py       normalizers, WER, PER, BLEU, distinct words, loops
captions.py    the clauses of a caption, ROUGE-L, CIDEr-D
java.py        METEOR and SPIDEr, where Java and pycocoevalcap are installed
following.py   does an answer obey its instruction? The paper's rules, and those that stand in for its judge
answers.py     is an answer right?
measures.py    every measure of a sample as a few numbers that can be added up
bootstrap.py   intervals, and the interval of a difference
"""

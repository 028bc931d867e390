"""Speed and memory of models with random weights; run on demand only.

    published-small   the work at which the published code was timed, in units that two machines share
    long-audio        recordings of 1, 2, 4 and 8 minutes
    ablations         a training step of a preset, with each saving of time and memory on and off

Every report has the same shape: where it ran, the rate of a matrix product there, and rows of numbers. On a CPU all
runs on one thread, and times are the process's CPU seconds, which a busy machine changes little.
"""

"""The two frozen encoders: Whisper for speech, BEATs for everything else."""

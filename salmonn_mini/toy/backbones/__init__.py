"""The toy's backbones, trained from scratch: an LLM on text, a Whisper on speech, a BEATs on sounds and voices."""

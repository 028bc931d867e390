"""The page of `salmonn-mini serve`: speak, see and ask, in a browser on this machine."""

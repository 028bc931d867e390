"""Tools around a run: doctor, bench, plan."""

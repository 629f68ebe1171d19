"""Risk: the gate that every plan passes, and the checks that are shipped."""

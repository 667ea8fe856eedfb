"""What everything else stands on: settings, errors, generators of steps, devices, safe files."""

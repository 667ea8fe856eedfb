"""Files and sample data: what comes in and what goes out."""

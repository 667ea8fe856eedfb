"""What models are made from that is no part of the package: run from the root of the checkout."""
